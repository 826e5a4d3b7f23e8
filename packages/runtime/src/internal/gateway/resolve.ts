/**
 * Options with their defaults, as plain milliseconds. A value that makes no sense
 * is a programmer's error here: configuration files are checked before, by their
 * Schema, with the name of the field.
 */
import * as Duration from "effect/Duration"
import type { GatewayOptions } from "./options.ts"
import type { IntakeOptions } from "../../Intake.ts"
import type { OutboxOptions } from "../../Outbox.ts"
import type { SessionOptions } from "../session/Environment.ts"

const millis = (input: Duration.Input | undefined, otherwise: number): number =>
  input === undefined ? otherwise : Duration.toMillis(input)

/** What the layers of the pipeline are made with. */
export const resolve = (
  options: GatewayOptions<unknown>
): {
  readonly outbox: OutboxOptions
  readonly intake: IntakeOptions
  readonly bursts: { readonly quiet: number; readonly maxKeys: number }
  readonly sessions: SessionOptions
} => {
  const quiet = millis(options.debounce?.quiet, 300)
  const { restart } = options.notices ?? {}
  return {
    outbox: { ...options.outbox, ...(restart === undefined ? {} : { restartNotices: restart }) },
    intake: { quiet, atMost: options.debounce?.atMost === undefined ? undefined : millis(options.debounce.atMost, 0) },
    bursts: { quiet, maxKeys: options.debounce?.maxKeys ?? 100_000 },
    sessions: {
      queue: {
        mode: options.queue?.mode ?? "collect",
        cap: options.queue?.cap ?? 20,
        drop: options.queue?.drop ?? "summarize"
      },
      idleTimeout: millis(options.session?.idleTimeout, 600_000),
      maxLive: options.session?.maxLive ?? 1000,
      questions: {
        expireAfter: millis(options.questions?.expireAfter, 3_600_000),
        keep: options.questions?.onStop !== "cancel"
      },
      turnLimit: options.turns?.limit ?? 32,
      backoff: (options.turns?.backoff ?? ["2 seconds", "10 seconds"]).map((wait) => Duration.toMillis(wait))
    }
  }
}
