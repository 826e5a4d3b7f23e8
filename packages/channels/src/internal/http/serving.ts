/**
 * What the routes of one listening channel share, and the two moments of a stop:
 * `stopping` (no new work: who waits is answered now) and `closing` (the listener
 * goes: bodies that are still coming are cut, what was read is still answered).
 */
import type { Handle, Peer } from "@sluice/runtime/Channel"
import type { AcceptError } from "@sluice/runtime/Message"
import type { Attachments } from "@sluice/runtime/Attachments"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import type * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Latch from "effect/Latch"
import type { Limits } from "./buckets.ts"
import { Rejection } from "./problems.ts"
import { Unread } from "./unread.ts"

/** The bounds of a channel, in bytes, milliseconds and counts. */
export interface Settings {
  readonly bodyLimit: number
  readonly attachmentLimit: number
  readonly maxWait: number
  readonly heartbeat: number
  readonly stallAfter: number
  readonly maxReaders: number
  /** Characters that readers of events have not taken, all together. */
  readonly maxUnread: number
}

/** How long a client is asked to wait while the gateway stops and starts. */
export const restartMillis = 5000

/** The state of one listening channel. */
export class Serving {
  readonly handle: Handle
  readonly attachments: Attachments["Service"]
  readonly settings: Settings
  readonly limits: Limits
  readonly unread: Unread
  readonly stopping = Deferred.makeUnsafe<void>()
  readonly closing = Deferred.makeUnsafe<void>()
  /** Requests whose body is still on its way: nothing of them is stored. */
  readonly reading = new Set<Fiber.Fiber<unknown, unknown>>()
  /** Open while no request is being answered. */
  readonly quiet = Latch.makeUnsafe(true)
  /** Open while nobody is sent events. */
  readonly unheard = Latch.makeUnsafe(true)
  private active = 0
  private readers = 0
  private streams = 0

  constructor(handle: Handle, attachments: Attachments["Service"], settings: Settings, limits: Limits) {
    this.handle = handle
    this.attachments = attachments
    this.settings = settings
    this.limits = limits
    this.unread = new Unread(settings.maxUnread)
  }

  get isStopping(): boolean {
    return Deferred.isDoneUnsafe(this.stopping)
  }

  get isClosing(): boolean {
    return Deferred.isDoneUnsafe(this.closing)
  }

  /** Clients that stay. */
  get present(): { readonly readers: number; readonly streams: number } {
    return { readers: this.readers, streams: this.streams }
  }

  /** Counts a request until its response is decided; it is written in the same step. A stream is not waited for. */
  counted<E, R>(answer: Effect.Effect<HttpServerResponse.HttpServerResponse, E, R>) {
    this.active++
    this.quiet.closeUnsafe()
    return Effect.onExitPrimitive(answer, () => {
      if (--this.active === 0) this.quiet.openUnsafe()
      return undefined
    })
  }

  /** A place among the clients that wait, or that there is none. */
  enter(): boolean {
    if (this.readers >= this.settings.maxReaders) return false
    this.readers++
    return true
  }

  /** Gives the place back. */
  leave(): void {
    this.readers--
  }

  /** A stream of events begins: a stop lets it have the last replies. */
  beginStream(): void {
    this.streams++
    this.unheard.closeUnsafe()
  }

  /** Its client has everything, or has left. */
  endStream(): void {
    if (--this.streams === 0) this.unheard.openUnsafe()
  }

  /** Runs what reads a body, so that a stop can cut it. */
  whileReading<A, E, R>(body: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> {
    return Effect.withFiber((fiber) => {
      this.reading.add(fiber)
      return Effect.ensuring(
        body,
        Effect.sync(() => void this.reading.delete(fiber))
      )
    })
  }
}

/** Why a waiting client is sent away. */
export const crowded = new Rejection({
  status: 429,
  type: "too-many-readers",
  detail: "too many clients are waiting for replies; close some streams or ask again later",
  retryAfter: 1000
})

/** A JSON answer that no cache keeps. */
export const json = (status: number, body: unknown, headers?: Readonly<Record<string, string>>) =>
  HttpServerResponse.jsonUnsafe(body, {
    status,
    headers: { "cache-control": "no-store", "x-content-type-options": "nosniff", ...headers }
  })

/** The conversation of the path as the handle takes it. */
export const peer = (conversation: string): Peer => ({ conversation })

/** A route's function of its request. What it fails with becomes the problem that the client hears. */
export type Route<R = never> = (
  request: HttpServerRequest.HttpServerRequest
) => Effect.Effect<HttpServerResponse.HttpServerResponse, AcceptError | Rejection, R>
