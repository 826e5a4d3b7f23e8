/**
 * The routes for operators and for the command line: health, readiness, metrics,
 * lists, and the requests to stop, restart and reload. They stand behind the same
 * guard as the HTTP channel. The gateway is built after its channels, so until it
 * is there every route but /healthz says 503.
 */
import type { Gateway } from "@sluice/runtime/Gateway"
import type { Journal } from "@sluice/runtime/Journal"
import type { Clients, Elsewhere } from "@sluice/channels/Http"
import { Busy, conversationKey, parseConversationKey } from "@sluice/runtime/Message"
import type { Report, StopRequest } from "@sluice/runtime/Shutdown"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as HttpRouter from "effect/http/HttpRouter"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Schema from "effect/Schema"
import { json, problem } from "./Answers.ts"
import { channels, control } from "./ChannelOperations.ts"
import type { Problem } from "./configuration/Problem.ts"
import * as Metrics from "./Metrics.ts"
import * as PoolReadiness from "./pools/PoolReadiness.ts"
import type { Pools } from "./pools/Pools.ts"
import { overview } from "./Usage.ts"

/** The running gateway as the routes need it. */
export interface Running {
  readonly gateway: typeof Gateway.Service
  readonly journal: typeof Journal.Service
  readonly version: string
  /** Milliseconds since the start. */
  readonly uptime: Effect.Effect<number>
  /** The pools of models, where there are any. */
  readonly pools: Pools
  /** What it is made of, for `status`. */
  readonly parts: Effect.Effect<Parts>
  /** Who is connected over HTTP. */
  readonly clients: Effect.Effect<Clients>
  /** Reads the configuration again and applies what can change; the lines say what did. */
  readonly reload: Effect.Effect<
    ReadonlyArray<string>,
    { readonly message: string; readonly problems?: ReadonlyArray<Problem> }
  >
  /** Begins a stop, or joins it. Returns when it has begun, with the milliseconds it may take; or with the report of a stop that is over, for a turn that asks again. */
  readonly stop: (request: StopRequest) => Effect.Effect<{ readonly within: number } | { readonly report: Report }>
}

/** What a gateway is made of. */
export interface Parts {
  readonly url: string
  readonly agents: ReadonlyArray<string>
  readonly channels: ReadonlyArray<{ readonly name: string; readonly delivery: string; readonly at: string }>
  /** How long a stop may take, and what decided that. */
  readonly deadline: { readonly millis: number; readonly source: string }
}

/** Where the running gateway is put once it is there. */
export interface Slot {
  current: Running | undefined
}

type Response = HttpServerResponse.HttpServerResponse

const starting = problem(503, "starting", "the gateway is starting; try again in a moment")

/** A route over the running gateway; a store that can't be read is 503, because nothing of the request was done. */
const over = <E extends { readonly message: string }, R>(
  slot: Slot,
  use: (running: Running) => Effect.Effect<Response, E, R>
): Effect.Effect<Response, never, R> =>
  // Looked up per request: the slot is filled while the server already listens.
  Effect.suspend((): Effect.Effect<Response, never, R> =>
    slot.current === undefined
      ? Effect.succeed(starting)
      : use(slot.current).pipe(Effect.catch((error) => Effect.succeed(problem(503, "storage", error.message))))
  )

/** What the gateway says of itself, and how the pools are. */
const ready = ({ gateway, pools }: Running) => Effect.flatMap(gateway.readiness, PoolReadiness.withPools(pools))

const readiness = (running: Running) => Effect.map(ready(running), (found) => json(found, found.ready ? 200 : 503))

const noPools = { pools: [], memory: { used: 0, limit: 0 } }

const pools = ({ pools }: Running) =>
  Effect.map(pools.opened?.states ?? Effect.succeed(noPools), (states) => json(states))

const metrics = Effect.fnUntraced(function* (running: Running) {
  const context = yield* Effect.context<never>()
  const snapshot = {
    figures: yield* running.gateway.figures,
    readiness: yield* running.gateway.readiness,
    live: yield* running.gateway.live,
    clients: yield* running.clients,
    now: yield* Clock.currentTimeMillis,
    uptime: yield* running.uptime,
    residentBytes: process.memoryUsage.rss(),
    version: running.version,
    epoch: running.gateway.boot.epoch,
    more: yield* running.pools.opened?.scrape ?? Effect.succeed("")
  }
  return HttpServerResponse.text(Metrics.text(snapshot, context), {
    contentType: "text/plain; version=0.0.4; charset=utf-8",
    headers: { "cache-control": "no-store" }
  })
})

/** Everything that `sluice status` prints, in one answer. */
export const status = Effect.fnUntraced(function* (running: Running) {
  const { gateway, parts, uptime, version } = running
  return {
    version,
    pid: process.pid,
    epoch: gateway.boot.epoch,
    uptime: yield* uptime,
    lastStop: gateway.boot.postMortem,
    readiness: yield* ready(running),
    figures: yield* gateway.figures,
    live: yield* gateway.live,
    ...(yield* parts)
  }
})

/**
 * A conversation by its key (`http/kim`), or by its bare name on HTTP, which has no slash. Not by the channels that there
 * are: what was said on one that is gone is asked for, exported and forgotten like everything else.
 */
const keyOf = (text: string): string =>
  parseConversationKey(text) === undefined
    ? conversationKey({ channel: "http", account: "", peer: text, thread: "" })
    : text

/** Commands for conversations of other channels. Until the gateway is there they are asked to come back. */
export const elsewhere =
  (slot: Slot): Elsewhere =>
  (key, command) =>
    Effect.suspend(() =>
      slot.current === undefined
        ? Effect.fail(new Busy({ retryAfter: 1000 }))
        : slot.current.gateway.command(key, command)
    )

/** The conversation that a question is about, by its key; `undefined` when it is about all of them. */
const askedFor = Effect.gen(function* () {
  const { url } = yield* HttpServerRequest.HttpServerRequest
  const conversation = new URLSearchParams(url.split("?", 2)[1]).get("conversation") ?? undefined
  return conversation === undefined ? undefined : keyOf(conversation)
})

const noConversation = (key: string) =>
  problem(404, "not-found", `conversation ${key}: there is none; sluice sessions and /v1/sessions list them`)

/** Sessions with what each does; `?conversation=` narrows them to one's. */
const sessions = (running: Running) =>
  Effect.gen(function* () {
    const key = yield* askedFor
    const sessions = yield* key === undefined ? running.gateway.sessions : running.gateway.sessionsOf(key)
    return key !== undefined && sessions.length === 0 ? noConversation(key) : json({ sessions })
  })

/** Deletes what was said in a conversation; `left` says what is still to be done. */
const forget = ({ gateway }: Running) =>
  Effect.gen(function* () {
    const { conversation = "" } = yield* HttpRouter.params
    const key = keyOf(conversation)
    const report = yield* gateway.forget(key)
    return report === undefined ? noConversation(key) : json({ conversation: key, ...report })
  })

/** What was said in a session, as Markdown; `?session=` names another than the current one. */
const transcript = ({ gateway }: Running) =>
  Effect.gen(function* () {
    const { conversation = "" } = yield* HttpRouter.params
    const { url } = yield* HttpServerRequest.HttpServerRequest
    const session = new URLSearchParams(url.split("?", 2)[1]).get("session") ?? undefined
    const key = keyOf(conversation)
    const found = yield* gateway.transcript(key, session)
    const names = found === undefined ? (yield* gateway.sessionsOf(key)).slice(0, 10).map(({ name }) => name) : []
    if (found === undefined && names.length === 0) return noConversation(key)
    return found === undefined
      ? problem(404, "not-found", `conversation ${key}: there is no session "${session}"; there is ${names.join(", ")}`)
      : HttpServerResponse.stream(found.content, {
          contentType: "text/markdown; charset=utf-8",
          headers: { "cache-control": "no-store", "x-content-type-options": "nosniff" }
        })
  })

/** What turns used; `?conversation=` narrows it to one. */
const usage = (running: Running) =>
  Effect.gen(function* () {
    const { gateway } = running
    const key = yield* askedFor
    if (key !== undefined && (yield* gateway.sessionsOf(key)).length === 0) return noConversation(key)
    return json(yield* overview(gateway, yield* gateway.spending, key))
  })

const AdminBody = Schema.fromJsonString(
  Schema.Struct({
    asking: Schema.optionalKey(Schema.String.check(Schema.isMaxLength(1024))),
    /** In a hurry: what runs is interrupted at once. */
    force: Schema.optionalKey(Schema.Boolean)
  })
)
const decodeAdmin = Schema.decodeUnknownEffect(AdminBody, { onExcessProperty: "error" })

const stop = (running: Running, reason: "stop" | "restart") =>
  Effect.gen(function* () {
    const request = yield* HttpServerRequest.HttpServerRequest
    const text = yield* request.text
    const { asking, force = false } = yield* decodeAdmin(text === "" ? "{}" : text)
    const by = `POST /v1/admin/${reason}${force ? " with force" : ""}`
    const asked = asking === undefined ? {} : { asking }
    const answer = yield* running.stop({ reason, by, ...asked, ...(force ? { force: 1 } : {}) })
    const over = "report" in answer
    return json({ epoch: running.gateway.boot.epoch, pid: process.pid, within: 0, ...answer }, over ? 200 : 202)
  }).pipe(
    Effect.orElseSucceed(() =>
      problem(
        400,
        "invalid",
        'body: send nothing, or any of {"force": true, "asking": "<marker of the asking process>"}'
      )
    )
  )

const reload = ({ reload }: Running) =>
  reload.pipe(
    Effect.map((changes) => json({ changes })),
    Effect.catch(({ message, problems }) =>
      Effect.succeed(problem(422, "configuration", message, problems === undefined ? {} : { problems }))
    )
  )

const letter =
  (
    act: (
      letters: (typeof Gateway.Service)["deadLetters"],
      reply: number
    ) => Effect.Effect<boolean, { readonly message: string }>
  ) =>
  (running: Running) =>
    Effect.gen(function* () {
      const { reply = "" } = yield* HttpRouter.params
      const number = /^\d{1,15}$/.test(reply) ? Number(reply) : undefined
      if (number === undefined)
        return problem(400, "invalid", "dead letter: use its number, as /v1/dead-letters lists it")
      return (yield* act(running.gateway.deadLetters, number))
        ? json({ reply: number })
        : problem(
            404,
            "not-found",
            `dead letter ${number}: there is none with this number; sluice dead-letters and /v1/dead-letters list them`
          )
    })

/** The routes as a layer over the router of the HTTP channel. */
export const routes = (slot: Slot) => {
  const get = <E extends { readonly message: string }, R>(
    path: `/${string}`,
    use: (running: Running) => Effect.Effect<Response, E, R>
  ) => HttpRouter.route("GET", path, over(slot, use))
  const post = <E extends { readonly message: string }, R>(
    path: `/${string}`,
    use: (running: Running) => Effect.Effect<Response, E, R>
  ) => HttpRouter.route("POST", path, over(slot, use))
  return HttpRouter.addAll([
    HttpRouter.route("GET", "/healthz", Effect.succeed(json({ alive: true }))),
    get("/readyz", readiness),
    get("/metrics", metrics),
    get("/v1/status", (running) => Effect.map(status(running), (found) => json(found))),
    get("/v1/sessions", sessions),
    HttpRouter.route("DELETE", "/v1/conversations/:conversation", over(slot, forget)),
    get("/v1/conversations/:conversation/transcript", transcript),
    get("/v1/usage", usage),
    get("/v1/pools", pools),
    get("/v1/channels", (running) => Effect.map(channels(running), (found) => json({ channels: found }))),
    get("/v1/audit", ({ gateway }) => Effect.map(gateway.audit, (ledger) => json(ledger))),
    get("/v1/report", ({ journal }) =>
      Effect.map(journal.reads.report, (report) =>
        report === undefined || report === null
          ? problem(404, "not-found", "report: this store has not been stopped yet")
          : json(report)
      )
    ),
    get("/v1/dead-letters", ({ gateway }) =>
      Effect.map(gateway.deadLetters.list, (deadLetters) => json({ deadLetters }))
    ),
    post(
      "/v1/dead-letters/:reply/replay",
      letter((letters, reply) => letters.replay(reply))
    ),
    post(
      "/v1/dead-letters/:reply/discard",
      letter((letters, reply) => letters.discard(reply))
    ),
    post("/v1/admin/stop", (running) => stop(running, "stop")),
    post("/v1/admin/restart", (running) => stop(running, "restart")),
    post("/v1/admin/reload", reload),
    post("/v1/admin/channels/:name/stop", control("stop")),
    post("/v1/admin/channels/:name/start", control("start")),
    post("/v1/admin/resume", ({ gateway }) => Effect.as(gateway.resume, json({ resumed: true })))
  ])
}
