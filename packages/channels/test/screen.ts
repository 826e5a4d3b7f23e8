/** A terminal's screen for tests: everything that was shown on it, and a way to wait for something to appear. */
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as SubscriptionRef from "effect/SubscriptionRef"

/** A screen that remembers, and that can be waited for. */
export const screen = Effect.map(SubscriptionRef.make(""), (shown) => ({
  shown: SubscriptionRef.get(shown),
  until: (text: string) =>
    SubscriptionRef.changes(shown).pipe(
      Stream.takeUntil((all) => all.includes(text)),
      Stream.runDrain
    ),
  write: (text: string) => SubscriptionRef.update(shown, (all) => all + text),
  note: (line: string) => SubscriptionRef.update(shown, (all) => `${all}[${line}]\n`)
}))
