/**
 * The text of a request's body, with a word for each piece of it that comes, so that somebody can tell one that is slow
 * from one that does not come. Node's own message is read directly: most bodies are one piece that is here already, and a
 * stream around it costs more than reading it. Whoever stops reading leaves the connection as it is, for an answer that
 * says why.
 */
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import type * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as Predicate from "effect/Predicate"
import * as Stream from "effect/Stream"

/** Why there is no text: more came than may come, or the sender left before the end. */
export class Unread extends Data.TaggedError("Unread")<{ readonly why: "TooLarge" | "Cut" }> {}

const tooLarge = new Unread({ why: "TooLarge" })
const cut = new Unread({ why: "Cut" })

/** The part of Node's IncomingMessage that is used here. */
interface Incoming {
  readonly httpVersionMajor: number
  readonly destroyed: boolean
  readonly readableEnded: boolean
  on(event: string, listener: (chunk: Uint8Array) => void): unknown
  off(event: string, listener: (chunk: Uint8Array) => void): unknown
}

const isIncoming = (source: unknown): source is Incoming =>
  Predicate.hasProperty(source, "httpVersionMajor") &&
  source.httpVersionMajor === 1 &&
  Predicate.hasProperty(source, "off") &&
  typeof source.off === "function"

/** Collects pieces up to a limit. */
const collector = (limit: number, heard: () => void) => {
  const utf8 = new TextDecoder()
  let room = limit
  let text = ""
  return {
    /** False when it is one too many. */
    add: (chunk: Uint8Array): boolean => {
      heard()
      room -= chunk.length
      if (room < 0) return false
      text += utf8.decode(chunk, { stream: true })
      return true
    },
    whole: () => text + utf8.decode()
  }
}

const ofNode = (source: Incoming, limit: number, heard: () => void): Effect.Effect<string, Unread> =>
  Effect.callback((resume) => {
    const collected = collector(limit, heard)
    const leave = () => {
      source.off("data", onData)
      source.off("end", onEnd)
      source.off("close", onClose)
    }
    const done = (result: Effect.Effect<string, Unread>) => {
      leave()
      resume(result)
    }
    const onData = (chunk: Uint8Array) => {
      if (!collected.add(chunk)) done(Effect.fail(tooLarge))
    }
    const onEnd = () => done(Effect.sync(collected.whole))
    const onClose = () => done(Effect.fail(cut))
    source.on("data", onData)
    source.on("end", onEnd)
    source.on("close", onClose)
    return Effect.sync(leave)
  })

const ofStream = (request: HttpServerRequest.HttpServerRequest, limit: number, heard: () => void) =>
  Effect.suspend(() => {
    const collected = collector(limit, heard)
    return request.stream.pipe(
      Stream.mapError(() => cut),
      Stream.runForEach((chunk) => (collected.add(chunk) ? Effect.void : Effect.fail(tooLarge))),
      Effect.map(collected.whole)
    )
  })

/** The text of a body of up to `limit` bytes; `heard` is told of each piece. */
export const textOf = (
  request: HttpServerRequest.HttpServerRequest,
  limit: number,
  heard: () => void
): Effect.Effect<string, Unread> => {
  const { headers, source } = request
  // A client that waits for its go-ahead gets it from the platform's own way.
  const isPlain = headers["expect"] === undefined && isIncoming(source) && !source.destroyed && !source.readableEnded
  return isPlain ? ofNode(source, limit, heard) : ofStream(request, limit, heard)
}
