/**
 * The HTTP channel: messages in (202 = on disk), replies out by number (long
 * poll or server-sent events), files by upload. The other side keeps its cursor,
 * so delivery is exactly once for whoever reads by it. A client that leaves
 * changes nothing, and a stop answers everybody who waits before it closes.
 * docs/http.md is the wire in full.
 */
import { Attachments, defaultLimit } from "@sluice/runtime/Attachments"
import * as Channel from "@sluice/runtime/Channel"
import * as ByteSize from "effect/ByteSize"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as HttpIncomingMessage from "effect/http/HttpIncomingMessage"
import * as HttpMiddleware from "effect/http/HttpMiddleware"
import * as HttpRouter from "effect/http/HttpRouter"
import * as HttpServer from "effect/http/HttpServer"
import type * as HttpServerError from "effect/http/HttpServerError"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import type * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Layer from "effect/Layer"
import * as Predicate from "effect/Predicate"
import type * as Scope from "effect/Scope"
import { limits, type Rate } from "./internal/http/buckets.ts"
import { command, type Elsewhere, list } from "./internal/http/commands.ts"
import { guard, hostGuard, loopbackHosts, pathOf, type Tokens, wantsWebSocket } from "./internal/http/guard.ts"
import { Connections } from "./internal/http/listener.ts"
import { message, post } from "./internal/http/messages.ts"
import { answered, type Problem, problem, worded } from "./internal/http/problems.ts"
import { events, page } from "./internal/http/replies.ts"
import { restartMillis, Serving, type Settings } from "./internal/http/serving.ts"
import { download, upload } from "./internal/http/uploads.ts"
import { door, path as socketPath } from "./internal/websocket/door.ts"
import { type SocketLimits, Sockets } from "./internal/websocket/sockets.ts"

export type { Rate } from "./internal/http/buckets.ts"
export type { Elsewhere } from "./internal/http/commands.ts"
export type { Tokens } from "./internal/http/guard.ts"
export {
  Connections,
  listener,
  type ListenerOptions,
  type NodeBounds,
  nodeBounds,
  type NodeServer
} from "./internal/http/listener.ts"

/** Why a request was refused before its route was looked at. */
export interface Refusal {
  readonly status: number
  /** The last part of the problem's type, such as `unauthorized`. */
  readonly type: string
  readonly detail: string
}

/** How the HTTP channel is made. Everything but `server` and `tokens` has a default. */
export interface Options<RS = never, RR = never> {
  /** Where it listens: `Http.listener(...)` around the platform's server, or any HttpServer. */
  readonly server: Layer.Layer<HttpServer.HttpServer, HttpServerError.ServeError, RS>
  /** The valid tokens, one or two during a rotation; as an effect they are read with every request, so keep it cheap. */
  readonly tokens: Tokens | Effect.Effect<Tokens>
  /** Host names that are answered, each with any port or as `name:port`; the loopback names by default. */
  readonly allowedHosts?: ReadonlyArray<string>
  /** Origins of pages elsewhere that may use this gateway, for example `https://console.example`; none by default. */
  readonly allowedOrigins?: ReadonlyArray<string>
  /** Paths that need no token; `/healthz` and `/readyz` by default. */
  readonly openPaths?: ReadonlyArray<string>
  /** Routes of the program beside these: health, metrics, administration. They are behind the same guard. */
  readonly routes?: Layer.Layer<never, never, RR>
  /** The document of a refusal (host, origin, token, stop) on a path whose clients expect another one than a problem. */
  readonly wording?: (path: string, problem: Refusal) => object | undefined
  /** Takes commands for conversations of other channels, `undefined` where there is none with that key; without it this channel's own only. */
  readonly elsewhere?: Elsewhere
  /** Largest JSON body in bytes; 1 MiB. */
  readonly bodyLimit?: number
  /** Largest attachment in bytes; 25 MiB. */
  readonly attachmentLimit?: number
  /** The longest `wait`; longer ones are cut to it. 2 minutes. */
  readonly maxWait?: Duration.Input
  /** How often an event stream shows that it lives; 15 seconds. */
  readonly heartbeat?: Duration.Input
  /** A reader of events that takes nothing for so long is disconnected; 1 minute. */
  readonly stallAfter?: Duration.Input
  /** Clients that wait or stream at the same time; 1024. */
  readonly maxReaders?: number
  /** Characters that wait for readers of events, all together; beyond it the slowest reader is disconnected. 16 Mi. */
  readonly maxUnread?: number
  /** Bounds of WebSockets at `/v1/ws`; `false` is none of them at all. */
  readonly webSockets?: SocketLimits | false
  /** Messages of one sender: 50 a second and 200 at once; `false` is no limit. */
  readonly senderRate?: Rate | false
  /** Messages and posts together: 5,000 a second and 10,000 at once; `false` is no limit. */
  readonly totalRate?: Rate | false
}

/** The HTTP channel, and where it listens. */
export interface HttpChannel<out R> extends Channel.Channel<R> {
  /** The address, as soon as it listens: `http://127.0.0.1:4747`. */
  readonly address: Effect.Effect<string>
  /** Clients that are there now. Never waits. */
  readonly clients: Effect.Effect<Clients>
}

/** Clients that stay, as they are now. */
export interface Clients {
  readonly webSockets: number
  /** Streams of server-sent events. */
  readonly streams: number
  /** Conversations that are waited for: by long polls, `?wait`, streams and WebSockets. */
  readonly readers: number
}

/** What routes of a program need besides the router: what their layer needs, and what each request does. */
export type RoutesNeed<RR> =
  | Exclude<HttpRouter.Request.Without<RR>, HttpRouter.HttpRouter>
  | HttpRouter.Request.Only<"Requires", RR>
  | HttpRouter.Request.Only<"GlobalRequires", RR>

const millis = (input: Duration.Input | undefined, otherwise: number): number =>
  input === undefined ? otherwise : Duration.toMillis(input)

const settingsOf = (options: Options<never, never>): Settings => ({
  bodyLimit: options.bodyLimit ?? 1_048_576,
  attachmentLimit: options.attachmentLimit ?? defaultLimit,
  maxWait: millis(options.maxWait, 120_000),
  heartbeat: millis(options.heartbeat, 15_000),
  stallAfter: millis(options.stallAfter, 60_000),
  maxReaders: options.maxReaders ?? 1024,
  maxUnread: options.maxUnread ?? 16_777_216
})

const conversation = "/v1/conversations/:conversation"

const routes = (serving: Serving, sockets: Sockets | undefined, elsewhere: Elsewhere | undefined) =>
  HttpRouter.addAll([
    ...(sockets === undefined ? [] : [HttpRouter.route("GET", socketPath, door(sockets))]),
    HttpRouter.route("POST", `${conversation}/messages`, message(serving)),
    HttpRouter.route("POST", `${conversation}/posts`, post(serving)),
    HttpRouter.route("POST", `${conversation}/commands`, command(serving, elsewhere)),
    HttpRouter.route("GET", "/v1/commands", list),
    HttpRouter.route("GET", `${conversation}/replies`, page(serving)),
    HttpRouter.route("GET", `${conversation}/events`, events(serving)),
    HttpRouter.route("POST", "/v1/attachments", upload(serving)),
    HttpRouter.route("GET", "/v1/attachments/:hash", download(serving))
  ])

type App = Effect.Effect<
  HttpServerResponse.HttpServerResponse,
  never,
  HttpServerRequest.HttpServerRequest | Scope.Scope
>

const closed: Problem = {
  status: 503,
  type: "stopping",
  detail: "the gateway is stopping; nothing was stored, try again after its restart",
  retryAfter: restartMillis
}

/** The response of a refusal, in the words of its path where that has some of its own. */
const refusal = (
  { url }: HttpServerRequest.HttpServerRequest,
  refused: Problem,
  wording: Options["wording"]
): HttpServerResponse.HttpServerResponse => {
  const body = wording?.(pathOf(url), refused)
  return body === undefined ? problem(refused) : worded(refused, body)
}

/** Host, then the browser's preflight, then origin and token, then the route. Counted from its first line on. */
const guarded = (serving: Serving, options: Options<never, never>, routed: App): App => {
  const { tokens, wording } = options
  const rules = {
    hosts: options.allowedHosts ?? loopbackHosts,
    origins: options.allowedOrigins ?? [],
    open: options.openPaths ?? ["/healthz", "/readyz"]
  }
  const foreignHost = hostGuard(rules)
  const stranger = guard(rules)
  const known = (request: HttpServerRequest.HttpServerRequest, valid: Tokens): App => {
    const refused = stranger(request, valid)
    return refused === undefined ? routed : Effect.succeed(refusal(request, refused, wording))
  }
  const inner = (request: HttpServerRequest.HttpServerRequest): App =>
    Effect.isEffect(tokens) ? Effect.flatMap(tokens, (valid) => known(request, valid)) : known(request, tokens)
  const cors =
    rules.origins.length === 0
      ? undefined
      : HttpMiddleware.cors({
          allowedOrigins: rules.origins,
          // Whatever a page asks for: a program may send any, and clients in pages bring their own (`x-stainless-lang`).
          allowedHeaders: [],
          exposedHeaders: ["retry-after"]
        })
  return Effect.withFiber((fiber) => {
    const request = Context.getUnsafe(fiber.context, HttpServerRequest.HttpServerRequest)
    const refused = serving.isClosing ? closed : foreignHost(request)
    if (refused !== undefined) return Effect.succeed(refusal(request, refused, wording))
    // it lasts, and a stop ends it in its own way
    if (wantsWebSocket(request) && pathOf(request.url) === socketPath) return inner(request)
    return serving.counted(cors === undefined ? inner(request) : cors(Effect.suspend(() => inner(request))))
  })
}

/**
 * The order of a close: no new connections, bodies that are still coming are
 * cut (nothing of them is stored), what was read gets its answer, who listens
 * the last replies, WebSockets 1012 and their numbers, then whatever is left goes: idle keep-alives, half-sent
 * headers, clients that never read.
 */
const close = Effect.fnUntraced(function* (
  serving: Serving,
  sockets: Sockets | undefined,
  connections: typeof Connections.Service
) {
  yield* connections.refuse
  yield* Deferred.succeed(serving.closing, undefined)
  for (const fiber of serving.reading) fiber.interruptUnsafe()
  const ended = sockets === undefined ? Effect.void : sockets.close
  const answered = Effect.andThen(
    Effect.timeoutOption(serving.quiet.await, 1000),
    Effect.timeoutOption(serving.unheard.await, 200)
  )
  yield* Effect.all([answered, ended], { concurrency: 2, discard: true })
  // the last answer is decided; its fiber writes it before this one goes on
  yield* Effect.yieldNow
  yield* connections.cut
})

const otherPort = "choose another port with SLUICE_PORT or http.port"

/** Why it can't listen, where, and what to do. Node's error has the address beside its code. */
const deaf = ({ cause }: HttpServerError.ServeError): string => {
  const field = (name: string) => {
    const value = Predicate.hasProperty(cause, name) ? cause[name] : undefined
    return typeof value === "string" || typeof value === "number" ? String(value) : ""
  }
  const [address, code, port] = [field("address"), field("code"), field("port")]
  const at = port === "" ? address : `${address.includes(":") ? `[${address}]` : address}:${port}`
  const where = at === "" ? "can't listen" : `can't listen on ${at}`
  switch (code) {
    case "EADDRINUSE":
      return `${where}: another program uses it; end that one, or ${otherPort}`
    case "EACCES":
      return `${where}: not permitted, as low ports are not; ${otherPort}`
    case "EADDRNOTAVAIL":
      return `${where}: this machine has no such address; correct SLUICE_HOST or http.host`
    default:
      return `${where}: ${cause instanceof Error ? cause.message : String(cause)}`
  }
}

/** Makes the HTTP channel. */
export const make = <RS = never, RR = never>(
  options: Options<RS, RR>
): HttpChannel<Attachments | RS | RoutesNeed<RR>> => {
  let listening = Deferred.makeUnsafe<string>()
  let present: (() => Clients) | undefined
  const receive = Effect.fnUntraced(function* (handle: Channel.Handle) {
    const attachments = yield* Attachments
    const built = yield* Layer.build(options.server).pipe(
      Effect.mapError((cause) => new Channel.ChannelError({ channel: handle.name, reason: deaf(cause), cause }))
    )
    const server = Context.get(built, HttpServer.HttpServer)
    const rates = limits({
      all: options.totalRate ?? { perSecond: 5000, burst: 10_000 },
      sender: options.senderRate ?? { perSecond: 50, burst: 200 },
      senders: 10_000
    })
    const settings = settingsOf(options as Options<never, never>)
    const serving = new Serving(handle, attachments, settings, rates)
    const sockets =
      options.webSockets === false
        ? undefined
        : new Sockets(serving, yield* Clock.Clock, options.tokens, options.webSockets)
    const app = Layer.mergeAll(
      routes(serving, sockets, options.elsewhere),
      (options.routes ?? Layer.empty) as Layer.Layer<never>
    )
    const routed = yield* HttpRouter.toHttpEffect(app).pipe(
      // names have at most 256 characters, percent-encoded at most nine times as many
      Effect.provideService(HttpRouter.RouterConfig, { maxParamLength: 4096 })
    )
    yield* server
      .serve(guarded(serving, options as Options<never, never>, answered(routed)))
      .pipe(Effect.provideService(HttpIncomingMessage.MaxBodySize, ByteSize.bytes(settings.bodyLimit)))
    // added after the server's own finalizer, so it runs before it
    yield* Effect.addFinalizer(() => close(serving, sockets, Context.get(built, Connections)))
    if (sockets !== undefined) yield* Effect.forEach([sockets.watch, sockets.warn], (duty) => Effect.forkScoped(duty))
    yield* Effect.forkScoped(Effect.andThen(handle.stopping, Deferred.succeed(serving.stopping, undefined)), {
      startImmediately: true
    })
    const address = HttpServer.formatAddress(server.address)
    yield* Deferred.succeed(listening, address)
    present = () => ({ ...serving.present, webSockets: sockets?.size ?? 0 })
    yield* Effect.addFinalizer(() =>
      Effect.sync(() => {
        listening = Deferred.makeUnsafe()
        present = undefined
      })
    )
    yield* handle.ready
    return yield* Effect.never
  })
  const address = Effect.suspend(() => Deferred.await(listening))
  const channel = Channel.make({
    kind: "server",
    delivery: Channel.pull,
    // programs say whole things: nobody types here
    quiet: 0,
    files: true,
    receive,
    describe: Effect.suspend(() => (Deferred.isDoneUnsafe(listening) ? address : Effect.succeed("not listening")))
  })
  const clients = Effect.sync(() => present?.() ?? { webSockets: 0, streams: 0, readers: 0 })
  return { ...channel, address, clients }
}
