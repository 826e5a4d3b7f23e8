/**
 * Whether a request is Slack's: it signs the time and the body with a secret that
 * nobody else has. A request that is older than five minutes may be one that
 * somebody has listened to, so it is refused however well it is signed.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"

/** How far a request's time may be from ours, in seconds. */
const tolerance = 300

const utf8 = new TextEncoder()

/** A header as bytes; nothing when it is no signature. */
const bytesOf = (signature: string): Uint8Array<ArrayBuffer> | undefined =>
  /^v0=[0-9a-f]{64}$/.test(signature)
    ? Uint8Array.from({ length: 32 }, (_, at) => Number.parseInt(signature.slice(3 + 2 * at, 5 + 2 * at), 16))
    : undefined

/** Whether the time in the header is near enough to now: told before the body is read. */
export const isTimely = (timestamp: string): Effect.Effect<boolean> =>
  Effect.map(
    Clock.currentTimeMillis,
    (now) => /^\d{1,12}$/.test(timestamp) && Math.abs(now / 1000 - Number(timestamp)) <= tolerance
  )

/** Checks the signature of a body. How long it takes tells nothing of what is expected. */
export const verifier = (secret: Redacted.Redacted) => {
  const key = Effect.runSync(
    Effect.cached(
      Effect.promise(() =>
        crypto.subtle.importKey("raw", utf8.encode(Redacted.value(secret)), { name: "HMAC", hash: "SHA-256" }, false, [
          "verify"
        ])
      )
    )
  )
  return (timestamp: string, body: Uint8Array, signature: string): Effect.Effect<boolean> => {
    const given = bytesOf(signature)
    if (given === undefined) return Effect.succeed(false)
    const before = utf8.encode(`v0:${timestamp}:`)
    const signed = new Uint8Array(before.length + body.length)
    signed.set(before)
    signed.set(body, before.length)
    return Effect.flatMap(key, (known) => Effect.promise(() => crypto.subtle.verify("HMAC", known, given, signed)))
  }
}
