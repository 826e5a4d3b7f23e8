/**
 * Strangers. Nothing of theirs is stored and nothing is answered, but where pairing
 * is on: then each hears once an hour that a code is needed, and whoever sends the
 * code is let in, which is on disk before the platform hears that it was received.
 * Guesses are few and counted, so that a code of 40 bits is not found by trying.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"

/** Who was let in by a code, and how somebody is. The host keeps it. */
export interface Pairing<Id> {
  /** Ids of people who were let in before. */
  readonly paired: Effect.Effect<ReadonlyArray<Id>>
  /** Lets somebody in when the code is right, which makes it invalid; stored on return. */
  readonly redeem: (code: string, id: Id) => Effect.Effect<boolean>
  /** Whether this person was let in by this code: after a crash it comes once more, and is no message. */
  readonly redeemed: (code: string, id: Id) => Effect.Effect<boolean>
}

/** Tries of one stranger and of all together in an hour, hints to all of them together, and strangers that are remembered. */
const bounds = { own: 5, all: 60, hints: 200, strangers: 1000 }
const hour = 3_600_000_000_000n

/** A code as somebody types it, alone or behind `/start` or `/pair`: without what is easily added. */
const codeIn = (text: string): string | undefined => {
  const [, code = ""] = /^\s*(?:\/(?:start|pair)(?:@\w+)?\s+)?([0-9a-z][0-9a-z -]{6,16})\s*$/i.exec(text) ?? []
  const plain = code.replaceAll(/[ -]/g, "").toUpperCase()
  return plain.length === 8 ? plain : undefined
}

interface Stranger {
  readonly since: bigint
  tries: number
  hinted: boolean
}

/** What a stranger hears. */
export type Answer = "welcome" | "hint" | "nothing"

/** The door of one bot. */
export class Door<Id extends number | string> {
  readonly #pairing: Pairing<Id> | undefined
  readonly #strangers = new Map<Id, Stranger>()
  /** The hour of all of them together. */
  #since = 0n
  #tries = 0
  #hints = 0

  constructor(pairing: Pairing<Id> | undefined) {
    this.#pairing = pairing
  }

  /** People who were let in before. */
  get paired(): Effect.Effect<ReadonlyArray<Id>> {
    return this.#pairing?.paired ?? Effect.succeed([])
  }

  #of(id: Id, now: bigint): Stranger {
    const known = this.#strangers.get(id)
    if (known !== undefined && now - known.since < hour) return known
    const fresh = { since: now, tries: 0, hinted: false }
    this.#strangers.delete(id)
    this.#strangers.set(id, fresh)
    const [oldest] = this.#strangers.keys()
    if (this.#strangers.size > bounds.strangers && oldest !== undefined) this.#strangers.delete(oldest)
    return fresh
  }

  #begin(now: bigint): void {
    if (now - this.#since < hour) return
    this.#since = now
    this.#tries = 0
    this.#hints = 0
  }

  #mayTry(stranger: Stranger): boolean {
    if (stranger.tries >= bounds.own || this.#tries >= bounds.all) return false
    stranger.tries++
    this.#tries++
    return true
  }

  /** Whether what somebody wrote in their own chat is the code that let them in, delivered again. */
  wasCode(id: Id, text: string): Effect.Effect<boolean> {
    const code = codeIn(text)
    return code === undefined || this.#pairing === undefined ? Effect.succeed(false) : this.#pairing.redeemed(code, id)
  }

  /** Somebody who may not speak wrote this in their own chat. */
  knock(id: Id, text: string): Effect.Effect<Answer> {
    return Effect.gen({ self: this }, function* () {
      const pairing = this.#pairing
      if (pairing === undefined) return "nothing"
      const now = yield* Clock.monotonicTimeNanos
      this.#begin(now)
      const stranger = this.#of(id, now)
      const code = codeIn(text)
      if (code !== undefined && this.#mayTry(stranger) && (yield* pairing.redeem(code, id))) {
        this.#strangers.delete(id)
        return "welcome"
      }
      // So many strangers are no people who were given a code: what they are told would hold up what others are told.
      if (stranger.hinted || this.#hints >= bounds.hints) return "nothing"
      stranger.hinted = true
      this.#hints++
      return "hint"
    })
  }
}
