/**
 * The sockets that are open, and what is looked after for all of them: places,
 * signs of life, what waits for slow readers, tokens that are not valid any more,
 * and the end at a stop. A socket is never waited for longer than a moment: one
 * that does not answer is cut, and its client comes back with its numbers.
 */
import type * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import type * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import type { Rate } from "../http/buckets.ts"
import { isValid, type Tokens } from "../http/guard.ts"
import type { Serving } from "../http/serving.ts"
import type { Transport } from "./transport.ts"

/** Bounds of sockets. Heartbeats and what counts as stalled are the channel's own. */
export interface SocketLimits {
  /** Sockets that are open at one time (1024). */
  readonly sockets?: number
  /** Conversations that one socket shows (256). */
  readonly conversations?: number
  /** Messages of one socket that wait for the store; beyond it nothing is read from that socket (64). */
  readonly underWay?: number
  /** Refused frames of one socket: beyond it the socket is read as slowly as that, and closed in the end (20 a second, 200 at once). */
  readonly refusals?: Rate
}

/** Why the server ends a socket, and under which code. */
export const closings = {
  binary: { code: 1003, reason: "frames are text" },
  garbled: { code: 1008, reason: "too many frames that can't be read" },
  refused: { code: 1008, reason: "too many frames that are refused" },
  tooLarge: { code: 1009, reason: "the frame is too large" },
  internal: { code: 1011, reason: "something broke; resume with your last numbers" },
  restart: { code: 1012, reason: "the gateway is stopping; come back and resume with your last numbers" },
  revoked: { code: 4401, reason: "the token is not valid any more" },
  slow: { code: 4408, reason: "too slow; come back and resume with your last numbers" }
} as const

/** One of {@link closings}. */
export type Closing = (typeof closings)[keyof typeof closings]

/** A socket as it is looked after. */
export interface Connection {
  readonly transport: Transport
  readonly token: Redacted.Redacted | undefined
  /** Completed with why it ends; the first reason counts. */
  readonly closing: Deferred.Deferred<Closing>
  /** Says that the gateway is on its way out. */
  readonly warn: Effect.Effect<void>
}

interface Signs {
  heard: number | undefined
  heardAt: bigint
  taken: number
  takenAt: bigint
}

/** The open sockets of one channel. */
export class Sockets {
  readonly serving: Serving
  readonly most: number
  readonly conversations: number
  readonly underWay: number
  readonly refusals: Rate
  readonly tokens: Tokens | Effect.Effect<Tokens>
  /** Open while there is no socket. */
  readonly none = Latch.makeUnsafe(true)
  readonly #clock: Clock.Clock
  readonly #open = new Map<Connection, Signs>()
  #places = 0

  constructor(serving: Serving, clock: Clock.Clock, tokens: Tokens | Effect.Effect<Tokens>, limits: SocketLimits = {}) {
    this.serving = serving
    this.#clock = clock
    this.tokens = tokens
    this.most = limits.sockets ?? 1024
    this.conversations = limits.conversations ?? 256
    this.underWay = limits.underWay ?? 64
    this.refusals = limits.refusals ?? { perSecond: 20, burst: 200 }
  }

  /** Sockets that are open. */
  get size(): number {
    return this.#open.size
  }

  /** A place for the length of the scope; `false` when there is none. */
  readonly place: Effect.Effect<boolean, never, Scope.Scope> = Effect.suspend(() => {
    if (this.#places >= this.most) return Effect.succeed(false)
    this.#places++
    return Effect.as(
      Effect.addFinalizer(() => Effect.sync(() => void this.#places--)),
      true
    )
  })

  /** Monotonic, in nanoseconds. */
  now(): bigint {
    return this.#clock.monotonicTimeNanosUnsafe()
  }

  /** It is looked after from now on. */
  enter(connection: Connection): void {
    const { transport } = connection
    const now = this.now()
    this.#open.set(connection, { heard: transport.heard(), heardAt: now, taken: transport.taken(), takenAt: now })
    this.none.closeUnsafe()
  }

  /** It is gone. */
  leave(connection: Connection): void {
    this.#open.delete(connection)
    if (this.#open.size === 0) this.none.openUnsafe()
  }

  /**
   * A socket is full. What waits for all of them together is bounded: beyond it the one that has taken nothing for the
   * longest time goes, but never the only one that holds anything.
   */
  pressed(): void {
    let waiting = 0
    let holding = 0
    let slowest: { readonly connection: Connection; readonly signs: Signs } | undefined
    const now = this.now()
    for (const [connection, signs] of this.#open) {
      if (Deferred.isDoneUnsafe(connection.closing)) continue
      notice(connection, signs, now)
      const held = connection.transport.waiting()
      waiting += held
      if (held === 0) continue
      holding++
      if (slowest === undefined || signs.takenAt < slowest.signs.takenAt) slowest = { connection, signs }
    }
    if (waiting <= this.serving.settings.maxUnread || holding < 2 || slowest === undefined) return
    end(slowest.connection, closings.slow)
  }

  /** Looks at each: is it there, does it take what it gets, may it still be here. */
  readonly look: Effect.Effect<void> = Effect.gen({ self: this }, function* () {
    const now = this.now()
    const valid = Effect.isEffect(this.tokens) ? yield* this.tokens : this.tokens
    const isStalled = (since: bigint) => Number(now - since) / 1e6 > this.serving.settings.stallAfter
    for (const [connection, signs] of this.#open) {
      const { token, transport } = connection
      if (token !== undefined && !isValid(token, valid)) end(connection, closings.revoked)
      notice(connection, signs, now)
      if (isStalled(signs.heardAt) || isStalled(signs.takenAt)) end(connection, closings.slow)
      // behind what it does not take a ping would wait as well
      else if (transport.waiting() === 0) transport.ping()
    }
  })

  /** Tells each that the gateway stops, once it does; whoever comes later is told when it comes. */
  readonly warn: Effect.Effect<void> = Effect.suspend(() => Deferred.await(this.serving.stopping)).pipe(
    Effect.andThen(
      Effect.suspend(() =>
        Effect.forEach([...this.#open.keys()], ({ warn }) => warn, { concurrency: "unbounded", discard: true })
      )
    )
  )

  /** Looks at each with every heartbeat. */
  readonly watch: Effect.Effect<never> = Effect.forever(
    Effect.andThen(
      Effect.suspend(() => Effect.sleep(this.serving.settings.heartbeat)),
      this.look
    )
  )

  /** The end of all of them. Completes when the last one is gone. */
  readonly close: Effect.Effect<void> = Effect.suspend(() => {
    for (const connection of this.#open.keys()) end(connection, closings.restart)
    return Effect.asVoid(Effect.timeoutOption(this.none.await, patience))
  }).pipe(
    Effect.andThen(
      Effect.suspend(() => {
        for (const { transport } of this.#open.keys()) transport.destroy()
        return this.none.await
      })
    )
  )
}

/**
 * What is seen of a connection. Whoever takes what waits is alive, also when no ping gets through to it; with nothing to
 * take only what it says counts, because a ping to a dead one is taken as well, by this machine's own buffers.
 */
const notice = ({ transport }: Connection, signs: Signs, now: bigint): void => {
  const [heard, taken, waiting] = [transport.heard(), transport.taken(), transport.waiting()]
  const moved = taken !== signs.taken
  if (heard === undefined || heard !== signs.heard || (waiting > 0 && moved)) signs.heardAt = now
  if (waiting === 0 || moved) signs.takenAt = now
  signs.heard = heard
  signs.taken = taken
}

/** How long an end may take until sockets are cut, in milliseconds. */
const patience = 1500

const end = (connection: Connection, closing: Closing): void => {
  Deferred.doneUnsafe(connection.closing, Effect.succeed(closing))
}
