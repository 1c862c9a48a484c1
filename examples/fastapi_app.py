"""Answer for images in a web application of your own.

    uvicorn --app-dir examples fastapi_app:app
    curl --data-binary @x.jpeg http://127.0.0.1:8000/p_abnormal

LUNGSCOPE_MODEL names a model; without it the bundled one is used. `lungscope serve` is the whole service: users, a
worklist, an audit log and limits. Needs `pip install 'lungscope[serve]'`.
"""

import os

from fastapi import FastAPI, HTTPException, Request
from fastapi.concurrency import run_in_threadpool

import lungscope as ls

app = FastAPI(title="p_abnormal of a radiograph", description="Research use only. Not a medical device.")
model = ls.load_model(os.environ.get("LUNGSCOPE_MODEL"))


@app.post("/p_abnormal")
async def p_abnormal(request: Request) -> dict[str, object]:
    """Assess the radiograph in the body; one model may be asked from many threads at once."""
    try:
        result = await run_in_threadpool(model.predict, await request.body())
    except ls.LungscopeError as error:
        raise HTTPException(422, str(error)) from None
    return {
        "finding": result.finding,
        "p_abnormal": result.p_abnormal,
        "probabilities": result.probabilities,
        "not_assessed": result.not_assessed,
    }
