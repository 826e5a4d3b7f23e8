/**
 * Bodies that may be anybody's: whether Slack has signed one is known when all of it
 * is here. So they are bounded together, and in time; where there are too many of
 * them the one that has been coming for longest goes, because Slack's come at once.
 */
import * as Data from "effect/Data"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as HttpIncomingMessage from "effect/http/HttpIncomingMessage"
import type * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as Stream from "effect/Stream"

/** Why there is no body: it is too large or broke off, it came too slowly, or others came meanwhile. */
export class Unread extends Data.TaggedError("Unread")<{ readonly why: "unreadable" | "late" | "crowded" }> {}

interface Coming {
  bytes: number
  readonly gone: Deferred.Deferred<never, Unread>
}

/** All of them together, and one where the server has no bound of its own, in bytes; and the time for one. */
const bounds = { all: 32 * 1024 * 1024, one: 1024 * 1024, time: "10 seconds" } as const

const wholeOf = (chunks: ReadonlyArray<Uint8Array>, length: number): Uint8Array => {
  const whole = new Uint8Array(length)
  let at = 0
  for (const chunk of chunks) {
    whole.set(chunk, at)
    at += chunk.length
  }
  return whole
}

/** Bodies on their way to one app. */
export class Unsigned {
  readonly #most: number
  /** Those that began first come first. */
  readonly #coming = new Set<Coming>()
  #bytes = 0

  /** So many bytes at most, of all that are not whole yet. */
  constructor(most: number = bounds.all) {
    this.#most = most
  }

  /** Reads a body to its end. */
  read(request: HttpServerRequest.HttpServerRequest): Effect.Effect<Uint8Array, Unread> {
    return Effect.gen({ self: this }, function* () {
      const limit = Number((yield* HttpIncomingMessage.MaxBodySize) ?? bounds.one)
      if (Number(request.headers["content-length"] ?? 0) > limit) return yield* new Unread({ why: "unreadable" })
      const coming: Coming = { bytes: 0, gone: Deferred.makeUnsafe() }
      this.#coming.add(coming)
      const chunks: Array<Uint8Array> = []
      const read = Stream.runForEach(request.stream, (chunk) => {
        chunks.push(chunk)
        coming.bytes += chunk.length
        this.#bytes += chunk.length
        this.#relieve()
        return coming.bytes > limit ? Effect.fail(new Unread({ why: "unreadable" })) : Effect.void
      }).pipe(Effect.mapError(() => new Unread({ why: "unreadable" })))
      const whole = Effect.map(read, () => wholeOf(chunks, coming.bytes))
      return yield* Effect.raceFirst(whole, Deferred.await(coming.gone)).pipe(
        Effect.timeoutOrElse({ duration: bounds.time, orElse: () => Effect.fail(new Unread({ why: "late" })) }),
        Effect.ensuring(Effect.sync(() => this.#leave(coming)))
      )
    })
  }

  #leave(coming: Coming): void {
    if (this.#coming.delete(coming)) this.#bytes -= coming.bytes
  }

  #relieve(): void {
    for (const coming of this.#coming) {
      if (this.#bytes <= this.#most) return
      this.#leave(coming)
      Deferred.doneUnsafe(coming.gone, Effect.fail(new Unread({ why: "crowded" })))
    }
  }
}
