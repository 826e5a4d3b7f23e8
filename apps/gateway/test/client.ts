/**
 * A client as the promises assume it: it gives every message an id, retries with
 * that id until it hears a clear answer, and keeps its own record of what it was
 * told. The record is what a test compares with the store.
 */
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import { randomUUID } from "node:crypto"

/** An answer of the gateway. */
export interface Answer {
  readonly status: number
  readonly headers: Headers
  readonly body: Body
}

/** All that an answer can have. */
export interface Body {
  readonly seq?: number
  readonly id?: string
  readonly duplicate?: boolean
  readonly held?: boolean
  readonly ended?: string
  readonly replies?: ReadonlyArray<Reply>
  readonly next?: number
  readonly ready?: boolean
  readonly problems?: ReadonlyArray<string>
  readonly type?: string
  readonly detail?: string
  readonly text?: string
  readonly [key: string]: unknown
}

/** A reply as the wire has it. */
export interface Reply {
  readonly number: number
  readonly text: string
  readonly turn?: string
  readonly inReplyTo: ReadonlyArray<string>
}

/** Nobody answered: the connection was refused or cut. Whether anything was stored is not known. */
export class Unanswered extends Data.TaggedError("Unanswered")<{ readonly cause: unknown }> {}

/** A request. */
export interface Request {
  readonly method?: "GET" | "POST"
  readonly body?: unknown
  readonly key?: string
  readonly token?: string | undefined
  readonly headers?: { readonly [name: string]: string }
}

/** One client of one gateway. */
export interface Client {
  /** One request, one answer. */
  readonly call: (path: string, request?: Request) => Effect.Effect<Answer, Unanswered>
  /** Sends a message until it is accepted, with the same id each time. Dies on a refusal. */
  readonly send: (
    conversation: string,
    text: string,
    options?: { readonly id?: string; readonly wait?: string }
  ) => Effect.Effect<Body & { readonly id: string }>
  /** All replies of a conversation above a number. */
  readonly replies: (conversation: string, after?: number) => Effect.Effect<ReadonlyArray<Reply>, Unanswered>
  /** Waits until the conversation has so many replies above `after`. */
  readonly repliesUntil: (conversation: string, count: number, after?: number) => Effect.Effect<ReadonlyArray<Reply>>
}

/** A client of the gateway at `url`. */
export const client = (url: string, token: string): Client => {
  const call: Client["call"] = (path, request = {}) =>
    Effect.tryPromise({
      try: async (signal) => {
        const headers = new Headers(request.headers)
        if (request.token !== "") headers.set("authorization", `Bearer ${request.token ?? token}`)
        if (request.key !== undefined) headers.set("idempotency-key", request.key)
        if (request.body !== undefined) headers.set("content-type", "application/json")
        const response = await fetch(new URL(path, url), {
          method: request.method ?? (request.body === undefined ? "GET" : "POST"),
          headers,
          signal,
          ...(request.body === undefined ? {} : { body: JSON.stringify(request.body) })
        })
        const text = await response.text()
        const json = response.headers.get("content-type")?.includes("json") === true
        const body: Body = json ? JSON.parse(text) : { text }
        return { status: response.status, headers: response.headers, body }
      },
      catch: (cause) => new Unanswered({ cause })
    })
  const path = (conversation: string, rest: string) => `/v1/conversations/${encodeURIComponent(conversation)}/${rest}`
  const send: Client["send"] = (conversation, text, { id = randomUUID(), wait } = {}) =>
    call(path(conversation, `messages${wait === undefined ? "" : `?wait=${wait}`}`), { body: { text }, key: id }).pipe(
      Effect.flatMap(({ body, status }) => {
        if (status === 200 || status === 202) return Effect.succeed({ ...body, id })
        if (status === 503 || status === 429) return Effect.fail(new Unanswered({ cause: body }))
        return Effect.die(new Error(`message refused with ${status}: ${JSON.stringify(body)}`))
      }),
      Effect.retry(Schedule.spaced("20 millis")),
      Effect.orDie,
      Effect.timeoutOrElse({
        duration: "60 seconds",
        orElse: () => Effect.die(new Error("the message was never accepted"))
      })
    )
  const replies: Client["replies"] = (conversation, after = 0) =>
    Effect.map(call(path(conversation, `replies?after=${after}`)), ({ body }) => body.replies ?? [])
  const repliesUntil: Client["repliesUntil"] = (conversation, count, after = 0) =>
    call(path(conversation, `replies?after=${after}&wait=5s`)).pipe(
      Effect.flatMap(() => replies(conversation, after)),
      Effect.filterOrFail(
        (found) => found.length >= count,
        (found) => new Unanswered({ cause: found })
      ),
      Effect.retry(Schedule.spaced("20 millis")),
      Effect.orDie,
      Effect.timeoutOrElse({
        duration: "60 seconds",
        orElse: () => Effect.die(new Error(`${conversation} did not get ${count} replies`))
      })
    )
  return { call, send, replies, repliesUntil }
}
