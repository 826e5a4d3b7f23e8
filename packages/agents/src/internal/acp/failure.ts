/**
 * What can go wrong with a program that should speak the Agent Client Protocol,
 * each with a sentence that names the program, what it did and what to do about
 * it. The sentences are for the log; a chat never sees them.
 */
import * as Schema from "effect/Schema"
import { sentence } from "../failure.ts"

/**
 * Why an agent could not answer. `NotInitialised`: it never got ready (in time,
 * in a version that is known, in the protocol at all); `Exited`: its process
 * ended; `Garbled`: it broke the protocol; `LoginRequired`: its provider does not
 * know it; `NotOffered`: it has no such mode or model; `Refused`: it answered
 * with an error, `code` is the protocol's; `Unfinished`: it ended the turn
 * without an answer.
 */
export class AcpError extends Schema.TaggedError<AcpError>()("AcpError", {
  kind: Schema.Literals([
    "NotInitialised",
    "Exited",
    "Garbled",
    "LoginRequired",
    "NotOffered",
    "Refused",
    "Unfinished",
    "HistoryGone"
  ]),
  program: Schema.String,
  problem: Schema.String,
  code: Schema.optionalKey(Schema.Int),
  /** The end of what it said on standard error. */
  stderr: Schema.optionalKey(Schema.String)
}) {
  override get message() {
    return sentence(this)
  }
}

/** An error that came over the wire, as the SDK hands it on; told by its shape because the SDK is loaded late. */
export interface Answered {
  readonly code: number
  readonly message: string
  readonly data?: unknown
}

/** Reads an error that the agent answered with; `undefined` for any other. */
export const answered = (cause: unknown): Answered | undefined => {
  if (!(cause instanceof Error) || cause.name !== "RequestError") return undefined
  const { code, data } = cause as Error & { readonly code?: unknown; readonly data?: unknown }
  return typeof code === "number" ? { code, message: cause.message, data } : undefined
}

const detailsOf = (data: unknown): string => {
  if (data === undefined || data === null) return ""
  const text = typeof data === "string" ? data : JSON.stringify(data)
  return text.length > 1000 ? `${text.slice(0, 1000)}...` : text
}

/** What an agent answered instead of a result, as one sentence. */
export const toldOf = (error: Answered): string => {
  const details = detailsOf(error.data)
  return `${error.message} (${error.code}${details === "" ? "" : `, ${details}`})`
}

/** The protocol's code for what does not exist. */
const notFound = -32_002
/** The protocol's code for a login that is missing. */
export const loginRequired = -32_000

/** Whether an agent says by this that it does not know a session. Not all of them use the protocol's code for it. */
export const saysUnknown = (error: Answered): boolean =>
  error.code === notFound ||
  /not found|unknown|no (such|conversation)|does ?n.t exist|does not exist|invalid session/i.test(
    `${error.message} ${detailsOf(error.data)}`
  )
