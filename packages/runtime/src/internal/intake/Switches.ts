/**
 * Conversations whose current session is about to change: a `/new` or `/session`
 * was sent and has not had its effect yet. What is sent after it belongs to the
 * session that it makes current, so it waits here before it is admitted; with
 * both on their way to the same commit it would join the one that is left.
 */
import * as Effect from "effect/Effect"

interface Pending {
  commands: number
  readonly waiting: Set<() => void>
}

/** The pending changes of one gateway. All but the waiting is synchronous. */
export class Switches {
  readonly #byKey = new Map<string, Pending>()
  readonly #bySeq = new Map<number, string>()

  /** No conversation's session is about to change. */
  get idle() {
    return this.#byKey.size === 0
  }

  /** A command that will change the conversation's session is on its way. */
  begin(key: string) {
    const pending = this.#byKey.get(key) ?? { commands: 0, waiting: new Set() }
    pending.commands++
    this.#byKey.set(key, pending)
  }

  /** It had its effect, or came to nothing. */
  end(key: string) {
    const pending = this.#byKey.get(key)
    if (pending === undefined || --pending.commands > 0) return
    this.#byKey.delete(key)
    for (const told of pending.waiting) told()
  }

  /** The command is stored under this number: it ends with its row, or when it is given up. */
  stored(seq: number, key: string) {
    this.begin(key)
    this.#bySeq.set(seq, key)
  }

  /** These rows have their end, or get none before the next boot. */
  ended(seqs: ReadonlyArray<number>) {
    if (this.#bySeq.size === 0) return
    for (const seq of seqs) {
      const key = this.#bySeq.get(seq)
      if (key === undefined) continue
      this.#bySeq.delete(seq)
      this.end(key)
    }
  }

  /** Nobody waits any more: intake is closed, and says so to those who did. */
  clear() {
    const all = [...this.#byKey.values()]
    this.#byKey.clear()
    this.#bySeq.clear()
    for (const { waiting } of all) for (const told of waiting) told()
  }

  /** Completes when the conversation's session stands. */
  settled(key: string): Effect.Effect<void> {
    const pending = this.#byKey.get(key)
    if (pending === undefined) return Effect.void
    return Effect.callback<void>((resume) => {
      const told = () => resume(Effect.void)
      pending.waiting.add(told)
      return Effect.sync(() => pending.waiting.delete(told))
    }).pipe(Effect.andThen(Effect.suspend(() => this.settled(key))))
  }
}
