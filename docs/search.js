// A page opened from a folder may not start a worker, so the search runs in a hidden frame there.
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(url) {
      super()
      const frame = document.createElement("iframe")
      frame.hidden = true
      document.body.append(frame)
      const inside = frame.contentWindow
      inside.postMessage = data => this.dispatchEvent(new MessageEvent("message", { data }))
      inside.importScripts = async (...urls) => { for (const each of urls) await load(each) }
      const load = source => new Promise((done, failed) => {
        const script = Object.assign(inside.document.createElement("script"), { src: source, onload: done, onerror: failed })
        inside.document.body.append(script)
      })
      this.inside = inside
      this.loaded = load(url)
    }
    postMessage(data) {
      this.loaded.then(() => this.inside.dispatchEvent(new this.inside.MessageEvent("message", { data })))
    }
    terminate() {}
  }
}
