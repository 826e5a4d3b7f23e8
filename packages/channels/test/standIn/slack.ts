/**
 * A stand-in of Slack on this machine: the Web API over HTTP with its channels and
 * its refusals, and its deliveries of events, signed, each made again until it is
 * taken. Receipts instead of sleeps. It outlives the gateways of a test. Each
 * request's fate can be scripted by method.
 */
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { createHmac } from "node:crypto"
import * as http from "node:http"
import type { AddressInfo, Socket } from "node:net"
import { type Call, type Fate, type Json, Refusal, type Shown, World } from "./slackWorld.ts"

export { buttonsOf, type Call, type Fate, type Json, type Shown } from "./slackWorld.ts"

/** A request of Slack's to the app. */
export interface Delivery {
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

/** Where Slack delivers to: tells the status of what was answered. */
export type Target = (delivery: Delivery) => Promise<number>

/** The running stand-in. */
export interface StandIn {
  readonly url: string
  readonly token: string
  readonly signingSecret: string
  readonly world: World
  /** Every request so far, as it was begun. */
  readonly calls: ReadonlyArray<Call>
  /** The n-th request of a method (from 1), once it has been begun. */
  readonly called: (method: string, n?: number) => Effect.Effect<Call>
  /** Completes when what is looked for is so; looked at after each request and each effect. */
  readonly until: (is: () => boolean) => Effect.Effect<void>
  /** Slack delivers here from now on, also what waits. */
  readonly deliverTo: (target: Target | undefined) => void
  /** A body with the headers that Slack gives it. */
  readonly signed: (body: string, type?: string) => Delivery
  /** Somebody writes in a channel. Returns the time of the message, by which `confirmed` knows it. */
  readonly say: (channel: string, text: string, more?: Json) => string
  /** Any event; returns its id. */
  readonly push: (event: unknown) => string
  /** The same event again, as Slack does when its acknowledgement was lost. */
  readonly again: (id: string) => void
  /** Somebody presses a button; returns the id of the press. */
  readonly press: (channel: string, ts: string, value: string, user?: string) => string
  /** Completes when the delivery has been acknowledged. */
  readonly confirmed: (id: string) => Effect.Effect<void>
  /** Deliveries that have not been acknowledged. */
  readonly unconfirmed: () => ReadonlyArray<string>
  /** How often something was delivered. */
  readonly deliveries: (id: string) => number
  /** The app's messages in a channel, oldest first. */
  readonly shown: (channel: string) => ReadonlyArray<Shown>
  /** Their texts. */
  readonly texts: (channel: string) => ReadonlyArray<string>
  /** Somebody deletes a message of the app's. */
  readonly remove: (channel: string, ts: string) => void
  /** Fates of the next requests of a method, in order. */
  readonly script: (method: string, ...fates: ReadonlyArray<Fate>) => void
  /** The fate of every request of a method that has none of its own. */
  readonly otherwise: (method: string, fate: Fate | (() => Fate)) => void
  /** Keeps a file of somebody's and describes it as a message does. */
  readonly file: (name: string, text: string, mimetype?: string) => Json
  /** The network goes, with every connection; and comes back. */
  readonly cut: Effect.Effect<void>
  readonly mend: Effect.Effect<void>
}

const write = (response: http.ServerResponse, result: unknown, scopes: string) => {
  const body = result instanceof Refusal ? { ok: false, error: result.error } : { ok: true, ...(result as Json) }
  response.writeHead(200, { "content-type": "application/json; charset=utf-8", "x-oauth-scopes": scopes })
  response.end(JSON.stringify(body))
}

const refused = (response: http.ServerResponse, fate: Extract<Fate, { readonly status?: number }>) => {
  const word = "refuse" in fate ? fate.refuse : undefined
  const retryAfter = "refuse" in fate ? fate.retryAfter : undefined
  response.writeHead(fate.status ?? (retryAfter === undefined ? 200 : 429), {
    "content-type": word === undefined ? "text/html" : "application/json",
    ...(retryAfter === undefined ? {} : { "retry-after": String(retryAfter) })
  })
  response.end(word === undefined ? "<html>Sorry</html>" : JSON.stringify({ ok: false, error: word }))
}

const follow = (world: World, call: Call, fate: Fate, response: http.ServerResponse): void => {
  if (typeof fate === "object" && "gate" in fate) {
    Effect.runFork(
      Effect.andThen(
        Deferred.await(fate.gate),
        Effect.sync(() => follow(world, call, fate.then ?? "answer", response))
      )
    )
    return
  }
  if (typeof fate === "object") return refused(response, fate)
  if (fate === "drop") return void response.destroy()
  if (fate === "silence") return
  const result = world.perform(call)
  if (fate === "answer") write(response, result, world.scopes)
  else if (fate === "lose-answer") response.destroy()
  else if (fate === "garbage") {
    response.writeHead(200, { "content-type": "text/html" })
    response.end("<html><body>Welcome to the hotel's network</body></html>")
  }
  world.changed()
}

/** A file as it was brought: as it is, or as the one part of a form. */
const broughtOf = async (body: string, type = ""): Promise<string> => {
  if (!type.includes("form-data")) return body
  const form = await new Response(body, { headers: { "content-type": type } }).formData()
  const [file] = form.values()
  return file instanceof Blob ? file.text() : (file ?? "")
}

const read = async (request: http.IncomingMessage): Promise<string> => {
  const chunks: Array<Buffer> = []
  for await (const chunk of request) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks).toString()
}

const serving = (world: World, token: string) => {
  const sockets = new Set<Socket>()
  let whole = true
  const begin = async (request: http.IncomingMessage, response: http.ServerResponse) => {
    const [, room = "", method = ""] = /^\/(api|files|upload)\/([\w.]+)$/.exec(request.url ?? "") ?? []
    const body = await read(request)
    const known = request.headers.authorization === `Bearer ${token}`
    if (room === "upload") {
      const kept = world.kept.get(method)
      if (kept !== undefined) kept.text = await broughtOf(body, request.headers["content-type"])
      world.calls.push({ method: "upload", params: { id: method, authorization: request.headers.authorization ?? "" } })
      return follow(world, { method: "upload", params: {} }, world.fate("upload"), response)
    }
    if (room === "files") {
      world.calls.push({ method: "download", params: { id: method } })
      world.changed()
      const fate = world.fate("download")
      if (fate === "drop") return void response.destroy()
      if (typeof fate === "object" && "gate" in fate) await Effect.runPromise(Deferred.await(fate.gate))
      else if (typeof fate === "object") return refused(response, fate)
      // Without the right to it there is a login to be seen.
      response.writeHead(200, { "content-type": known ? "application/octet-stream" : "text/html" })
      return void response.end(known ? (world.kept.get(method)?.text ?? "") : "<html>Sign in</html>")
    }
    const call = { method, params: Object.fromEntries(new URLSearchParams(body)) }
    world.calls.push(call)
    const fate: Fate = known ? world.fate(method) : { refuse: "invalid_auth" }
    world.changed()
    follow(world, call, fate, response)
  }
  const server = http.createServer((request, response) => {
    // A request that breaks off in the middle never was one.
    begin(request, response).catch(() => response.destroy())
  })
  server.on("connection", (socket) => {
    if (!whole) return void socket.destroy()
    sockets.add(socket)
    socket.on("close", () => sockets.delete(socket))
  })
  return {
    server,
    cut: Effect.sync(() => {
      whole = false
      for (const socket of sockets) socket.destroy()
    }),
    mend: Effect.sync(() => void (whole = true))
  }
}

const listening = (server: http.Server) =>
  Effect.acquireRelease(
    Effect.callback<string>(
      (resume) =>
        void server.listen(0, "127.0.0.1", () =>
          resume(Effect.succeed(`http://127.0.0.1:${(server.address() as AddressInfo).port}`))
        )
    ),
    () =>
      Effect.callback<void>((resume) => {
        server.close(() => resume(Effect.void))
        server.closeAllConnections()
      })
  )

/** Deliveries, each made again until it is taken: at once, and then after a moment instead of a minute. */
class Post {
  readonly world: World
  readonly signed: StandIn["signed"]
  readonly bodies = new Map<string, { readonly body: string; readonly type?: string }>()
  readonly waiting = new Set<string>()
  readonly counts = new Map<string, number>()
  target: Target | undefined
  open = true
  whole = true
  /** How often the network was cut: what was under way then was never answered. */
  cuts = 0

  constructor(world: World, signed: StandIn["signed"]) {
    this.world = world
    this.signed = signed
  }

  send(id: string): void {
    this.waiting.add(id)
    void this.#deliver(id)
  }

  async #deliver(id: string): Promise<void> {
    for (let retry = 0; this.open && this.waiting.has(id); retry++) {
      const target = this.target
      const { body = "", type } = this.bodies.get(id) ?? {}
      if (target === undefined) return
      this.counts.set(id, (this.counts.get(id) ?? 0) + 1)
      const { headers } = this.signed(body, type)
      const more: Record<string, string> =
        retry === 0 ? {} : { "x-slack-retry-num": String(retry), "x-slack-retry-reason": "http_error" }
      const cuts = this.cuts
      const answered = this.whole ? await target({ body, headers: { ...headers, ...more } }).catch(() => 0) : 0
      const status = cuts === this.cuts ? answered : 0
      if (status === 200) this.waiting.delete(id)
      this.world.changed()
      if (status !== 200) await new Promise((resolve) => setTimeout(resolve, 20).unref())
    }
  }

  deliverTo(target: Target | undefined): void {
    const idle = this.target === undefined
    this.target = target
    if (idle && target !== undefined) for (const id of this.waiting) void this.#deliver(id)
  }
}

/** Starts the stand-in, for as long as the scope is open. */
export const standIn = (
  token = "xoxb-4711-secret-of-the-bot",
  signingSecret = "8f742231b10e8888abcd99yyyzzz85a5"
): Effect.Effect<StandIn, never, Scope.Scope> =>
  Effect.gen(function* () {
    const world = new World()
    const clock = yield* Clock.Clock
    const { cut, mend, server } = serving(world, token)
    const url = yield* listening(server)
    world.url = url
    const signed: StandIn["signed"] = (body, type = "application/json") => {
      const timestamp = String(Math.floor(clock.currentTimeMillisUnsafe() / 1000))
      const hash = createHmac("sha256", signingSecret).update(`v0:${timestamp}:${body}`).digest("hex")
      return {
        body,
        headers: { "content-type": type, "x-slack-request-timestamp": timestamp, "x-slack-signature": `v0=${hash}` }
      }
    }
    const post = new Post(world, signed)
    yield* Effect.addFinalizer(() => Effect.sync(() => void (post.open = false)))
    const countOf = (method: string) => world.calls.filter((call) => call.method === method)
    const push = (event: unknown, known?: string) => {
      const id = known ?? `Ev${post.bodies.size + 1}`
      const envelope = { token: "legacy", team_id: "T1", api_app_id: "A1", type: "event_callback", event_id: id, event }
      post.bodies.set(id, { body: JSON.stringify(envelope) })
      post.send(id)
      return id
    }
    return {
      url: `${url}/api`,
      token,
      signingSecret,
      world,
      calls: world.calls,
      called: (method, n = 1) =>
        Effect.map(
          world.until(() => countOf(method).length >= n),
          () => countOf(method)[n - 1] ?? { method, params: {} }
        ),
      until: (is) => world.until(is),
      deliverTo: (target) => post.deliverTo(target),
      signed,
      push,
      say: (channel, text, more = {}) => {
        const ts = typeof more["ts"] === "string" ? more["ts"] : world.nextTs()
        const channel_type = channel.startsWith("D") ? "im" : "channel"
        push({ type: "message", channel, channel_type, user: "UKIM", text, event_ts: ts, ...more, ts }, ts)
        return ts
      },
      again: (id) => post.send(id),
      press: (channel, ts, value, user = "UKIM") => {
        const id = `press-${post.bodies.size + 1}`
        const message = world.channel(channel).find((one) => one.ts === ts)
        const payload = {
          type: "block_actions",
          user: { id: user, username: "kim" },
          container: { type: "message", channel_id: channel, message_ts: ts, thread_ts: message?.thread },
          channel: { id: channel },
          message: { type: "message", ts, text: message?.text, blocks: message?.blocks },
          actions: [{ type: "button", action_id: "say-0", block_id: "b", value, action_ts: id }]
        }
        const body = new URLSearchParams({ payload: JSON.stringify(payload) }).toString()
        post.bodies.set(id, { body, type: "application/x-www-form-urlencoded" })
        post.send(id)
        return id
      },
      confirmed: (id) => world.until(() => !post.waiting.has(id)),
      unconfirmed: () => [...post.waiting],
      deliveries: (id) => post.counts.get(id) ?? 0,
      shown: (channel) => world.channel(channel).slice(),
      texts: (channel) => world.channel(channel).map(({ text }) => text),
      remove: (channel, ts) => {
        const messages = world.channel(channel)
        messages.splice(
          messages.findIndex((one) => one.ts === ts),
          1
        )
      },
      script: (method, ...fates) => void world.fates.set(method, [...(world.fates.get(method) ?? []), ...fates]),
      otherwise: (method, fate) => void world.always.set(method, fate),
      file: (name, text, mimetype = "text/plain") => {
        const id = `F${world.kept.size + 1}`
        world.kept.set(id, { name, text, mine: false })
        return { id, name, mimetype, size: text.length, mode: "hosted", url_private: `${url}/files/${id}` }
      },
      cut: Effect.andThen(
        cut,
        Effect.sync(() => {
          post.whole = false
          post.cuts++
        })
      ),
      mend: Effect.andThen(
        mend,
        Effect.sync(() => void (post.whole = true))
      )
    }
  })
