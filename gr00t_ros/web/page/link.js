/**
 * The connection to the page's server: one WebSocket that connects again by itself.
 *
 * The server sends the next frame, state or curves of a kind only after the last one was
 * acknowledged, so what arrives is always the latest, however slow this browser is.
 */

/** No state for so long means that the server is not reached; it sends ten a second. */
const SILENT_MS = 700;
/** A socket that is open and silent for so long is given up. */
const DEAD_MS = 3000;
const RETRY_MS = [200, 400, 800, 1500];

export class Link {
  /**
   * @param {{hello, state, curves, event, frame, status}} handlers called with each message;
   *   `status` with "connecting", "open", "lost" or "denied" when that changes.
   */
  constructor(handlers) {
    this.handlers = handlers;
    this.status = "connecting";
    this.lostSince = null;
    this.pending = new Map();
    this.number = 0;
    this.failures = 0;
    this.lastState = performance.now();
    setInterval(() => this.look(), 100);
    addEventListener("online", () => this.retryNow());
    document.addEventListener("visibilitychange", () => document.hidden || this.retryNow());
    this.connect();
  }

  connect() {
    const address = new URL("ws", location.href);
    address.protocol = location.protocol === "https:" ? "wss:" : "ws:";
    address.search = "";
    address.hash = "";
    clearTimeout(this.retry);
    const socket = new WebSocket(address);
    socket.binaryType = "arraybuffer";
    this.socket = socket;
    this.opened = performance.now();
    socket.addEventListener("message", (message) => this.received(socket, message.data));
    socket.addEventListener("close", () => this.closed(socket));
  }

  closed(socket) {
    if (socket !== this.socket) return;
    this.socket = null;
    this.setStatus(this.status === "denied" ? "denied" : "lost");
    for (const answer of this.pending.values()) {
      answer({ ok: false, text: "the connection ended before the answer came: look at the mode whether it was done" });
    }
    this.pending.clear();
    const wait = RETRY_MS[Math.min(this.failures, RETRY_MS.length - 1)];
    this.failures += 1;
    this.retry = setTimeout(() => this.connect(), wait);
    if (this.failures > 1) this.askWhy();
  }

  retryNow() {
    if (!this.socket) this.connect();
  }

  /** A refused WebSocket does not say why; a page of the same server does. */
  async askWhy() {
    try {
      const reply = await fetch("reports", { cache: "no-store" });
      if (reply.status === 401 || reply.status === 403) this.setStatus("denied");
      else if (this.status === "denied") this.setStatus("lost");
    } catch {
      if (this.status === "denied") this.setStatus("lost");
    }
  }

  /** Compare with this browser's own clock, because a lost network closes no socket. */
  look() {
    const silent = performance.now() - this.lastState;
    if (silent > SILENT_MS && this.status === "open") this.setStatus("lost");
    const since = performance.now() - Math.max(this.lastState, this.opened ?? 0);
    if (this.socket && since > DEAD_MS) {
      const socket = this.socket;
      socket.close();
      this.closed(socket);
    }
  }

  setStatus(status) {
    if (status === this.status) return;
    if (status === "lost" && this.status === "open") this.lostSince = this.lastState;
    this.status = status;
    this.handlers.status(status);
  }

  async received(socket, data) {
    if (socket !== this.socket) return;
    if (data instanceof ArrayBuffer) {
      const view = new DataView(data);
      const camera = view.getUint8(0);
      try {
        await this.handlers.frame(camera, view.getBigUint64(1, true), data.slice(9));
      } finally {
        this.send({ type: "ack", kind: "frame", camera });
      }
      return;
    }
    const message = JSON.parse(data);
    if (message.type === "answer") {
      this.pending.get(message.id)?.({ ok: message.ok, text: message.text });
      this.pending.delete(message.id);
      return;
    }
    if (message.type === "state") {
      this.lastState = performance.now();
      this.failures = 0;
      this.setStatus("open");
    }
    try {
      this.handlers[message.type]?.(message);
    } finally {
      if (message.type === "state" || message.type === "curves") {
        this.send({ type: "ack", kind: message.type });
      }
    }
  }

  send(message) {
    if (this.socket?.readyState !== WebSocket.OPEN) return false;
    this.socket.send(JSON.stringify(message));
    return true;
  }

  /**
   * Send one command; resolves with {ok, text} and never rejects. Without an answer nobody knows
   * whether it was done.
   */
  command(name, value = null, timeoutMs = 5000) {
    const id = ++this.number;
    return new Promise((resolve) => {
      if (!this.send({ type: "command", id, name, value })) {
        resolve({ ok: false, text: "not sent: no connection to the page's server" });
        return;
      }
      this.pending.set(id, resolve);
      setTimeout(() => {
        const text = `no answer within ${timeoutMs / 1000} s: look at the mode whether it was done`;
        if (this.pending.get(id) === resolve) resolve({ ok: false, text });
      }, timeoutMs);
    });
  }
}
