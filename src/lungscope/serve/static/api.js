/** The service: the only module that speaks HTTP. */

const TOKEN = "lungscope.token";

/** An answer that is not a success, in the server's own words. */
export class Problem extends Error {
  /**
   * @param {number} status 0 when there was no answer at all.
   * @param {string} detail what is wrong and what to do.
   * @param {number} retryAfter seconds to wait; 0 when trying again is of no use.
   */
  constructor(status, detail, retryAfter = 0) {
    super(detail);
    this.status = status;
    this.retryAfter = retryAfter;
  }
}

export class Api {
  /** @param {() => Promise<string>} askToken asks the reader for an access token. */
  constructor(askToken) {
    this.askToken = askToken;
    this.asking = null;
  }

  model() {
    return this.json("/v1/model");
  }

  drift(days) {
    return this.json(`/v1/drift?days=${days}`);
  }

  /** One page of the worklist, highest probability first. */
  predictions(cursor) {
    const query = new URLSearchParams({ order: "-p_abnormal", limit: "200" });
    if (cursor) query.set("cursor", cursor);
    return this.json(`/v1/predictions?${query}`);
  }

  giveFeedback(id, verdict) {
    const url = `/v1/predictions/${id}/feedback`;
    if (!verdict) return this.json(url, { method: "DELETE" });
    const headers = { "Content-Type": "application/json" };
    return this.json(url, { method: "PUT", headers, body: JSON.stringify({ verdict }) });
  }

  remove(id) {
    return this.request(`/v1/predictions/${id}`, { method: "DELETE" });
  }

  async blob(url) {
    return (await this.request(url)).blob();
  }

  /** Save what the server answers as a file. */
  async download(url, name) {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(await this.blob(url));
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
  }

  /**
   * Send files to be assessed.
   * @param {File[]} files
   * @param {string} point name of the operating point; empty for the model's own.
   * @param {(share: number) => void} onProgress called with the share that was sent, 0..1.
   * @returns {Promise<object[]>} predictions in the order of the files.
   */
  async predict(files, point, onProgress) {
    const body = new FormData();
    for (const file of files) body.append("files", file, file.name || "pasted image");
    const query = point ? `?operating_point=${encodeURIComponent(point)}` : "";
    const answer = await this.withToken(() => post(`/v1/predictions${query}`, body, this.headers(), onProgress));
    return JSON.parse(answer).predictions;
  }

  async json(url, options) {
    return (await this.request(url, options)).json();
  }

  request(url, options = {}) {
    return this.withToken(() => send(url, { ...options, headers: this.headers(options.headers) }));
  }

  headers(others = {}) {
    const token = sessionStorage.getItem(TOKEN);
    return token ? { ...others, Authorization: `Bearer ${token}` } : { ...others };
  }

  /** Ask for a token when the server wants one, and try again with it. */
  async withToken(attempt) {
    for (;;) {
      const used = sessionStorage.getItem(TOKEN);
      try {
        return await attempt();
      } catch (problem) {
        if (problem.status !== 401) throw problem;
        if (sessionStorage.getItem(TOKEN) !== used) continue;
        this.asking ??= this.askToken(Boolean(used)).finally(() => (this.asking = null));
        sessionStorage.setItem(TOKEN, await this.asking);
      }
    }
  }
}

async function send(url, options) {
  let answer;
  try {
    answer = await fetch(url, options);
  } catch {
    throw unreachable();
  }
  if (!answer.ok) throw problemOf(answer.status, await answer.text(), answer.headers.get("Retry-After"));
  return answer;
}

/** XMLHttpRequest, because fetch does not tell how much was sent. */
function post(url, body, headers, onProgress) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", url);
    for (const [name, value] of Object.entries(headers)) request.setRequestHeader(name, value);
    request.upload.onprogress = (event) => event.lengthComputable && onProgress(event.loaded / event.total);
    request.onerror = () => reject(unreachable());
    request.onload = () => {
      if (request.status < 300) resolve(request.responseText);
      else reject(problemOf(request.status, request.responseText, request.getResponseHeader("Retry-After")));
    };
    request.send(body);
  });
}

function unreachable() {
  return new Problem(0, "The server cannot be reached. Check that it runs, then try again.");
}

function problemOf(status, text, retryAfter) {
  const seconds = Number(retryAfter) || (status === 429 ? 1 : 0);
  try {
    const { detail, title } = JSON.parse(text);
    return new Problem(status, detail || title || `The server answered ${status}.`, seconds);
  } catch {
    return new Problem(status, `The server answered ${status}.`, seconds);
  }
}
