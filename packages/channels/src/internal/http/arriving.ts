/**
 * Reads the body of a request from Node's own message, without the stream around it: most bodies are one chunk that is
 * here already, and watching a stream for its end in every possible way costs more than reading it. Only what announces
 * its length is read so, because Node's parser holds a body to that; anything else goes the platform's general way.
 */
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import type * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as Predicate from "effect/Predicate"
import type { Serving } from "./serving.ts"

/** The client left, or the listener closed, before all of it was here. */
export class Cut extends Data.TaggedError("Cut") {}

/** The part of Node's IncomingMessage that is used here. */
interface Incoming {
  readonly httpVersionMajor: number
  readonly destroyed: boolean
  readonly readableEnded: boolean
  on(event: "data", listener: (chunk: Uint8Array) => void): unknown
  on(event: "end" | "close", listener: () => void): unknown
  destroy(): unknown
}

const isIncoming = (source: unknown): source is Incoming =>
  Predicate.hasProperty(source, "httpVersionMajor") &&
  source.httpVersionMajor === 1 &&
  Predicate.hasProperty(source, "on") &&
  typeof source.on === "function"

const whole = (chunks: ReadonlyArray<Uint8Array>): Uint8Array => {
  const [only] = chunks
  if (only !== undefined && chunks.length === 1) return only
  const all = new Uint8Array(chunks.reduce((sum, { byteLength }) => sum + byteLength, 0))
  let from = 0
  for (const chunk of chunks) {
    all.set(chunk, from)
    from += chunk.byteLength
  }
  return all
}

/**
 * The bytes of a request that announces its length, which must have been looked at; `undefined` when it has to be read
 * in the general way: no length, a client that waits for its go-ahead (`Expect`), another platform than Node.
 */
export const arriving = (
  serving: Serving,
  request: HttpServerRequest.HttpServerRequest
): Effect.Effect<Uint8Array, Cut> | undefined => {
  const { headers, source } = request
  if (headers["content-length"] === undefined || headers["expect"] !== undefined) return undefined
  if (headers["transfer-encoding"] !== undefined) return undefined
  if (!isIncoming(source) || source.destroyed || source.readableEnded) return undefined
  return Effect.withFiber((fiber) =>
    Effect.callback<Uint8Array, Cut>((resume) => {
      const chunks: Array<Uint8Array> = []
      serving.reading.add(fiber)
      source.on("data", (chunk) => chunks.push(chunk))
      source.on("end", () => {
        serving.reading.delete(fiber)
        resume(Effect.succeed(whole(chunks)))
      })
      source.on("close", () => {
        // it follows every end, and an error is made with its stack
        if (serving.reading.delete(fiber)) resume(Effect.fail(new Cut()))
      })
      return Effect.sync(() => {
        serving.reading.delete(fiber)
        source.destroy()
      })
    })
  )
}
