/**
 * Who asks for a stop from inside a turn. A turn that stops its own gateway waits for a stop that waits for the turn,
 * and when it is resumed after the restart it would ask again, for ever. Sessions set this reference around an agent's
 * `answer`, so that a stop which is called there knows its turn.
 */
import * as Context from "effect/Context"

/** The running turn that the current fiber belongs to. */
export const AskingTurn = Context.Reference<{ readonly turn: number; readonly attempt: number } | undefined>(
  "@sluice/runtime/AskingTurn",
  { defaultValue: () => undefined }
)
