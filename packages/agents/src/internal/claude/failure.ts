/**
 * What can go wrong with the Claude Code CLI, each with a sentence that names the
 * program, what it did and what to do about it. The sentences are for the log; a
 * chat never sees them. Only an input that can never be answered is final: who is
 * told "put it differently" because a key has expired looks in the wrong place.
 */
import type * as Agent from "@sluice/runtime/Agent"
import * as Schema from "effect/Schema"
import { failed, historyGone, noModel, rejected, sentence } from "../failure.ts"

/**
 * Why there is no answer. `NotInitialised`: it never got ready; `Exited`: its
 * process ended; `Garbled`: what it prints is not what this program prints;
 * `Outdated`: it does not know an option; `Provider`: the model's API refused,
 * `status` says how; `Unfinished`: the turn ended without an answer;
 * `HistoryGone`: it does not know the conversation any more.
 */
export class ClaudeError extends Schema.TaggedError<ClaudeError>()("ClaudeError", {
  kind: Schema.Literals(["NotInitialised", "Exited", "Garbled", "Outdated", "Provider", "Unfinished", "HistoryGone"]),
  program: Schema.String,
  problem: Schema.String,
  status: Schema.optionalKey(Schema.Int),
  /** The end of what it said on standard error. */
  stderr: Schema.optionalKey(Schema.String)
}) {
  override get message() {
    return sentence(this)
  }
}

/** The error as the port has it. */
export const told = (error: ClaudeError): Agent.AgentError =>
  error.kind === "HistoryGone" ? historyGone(error) : failed(error)

/** What the CLI says of a conversation that it doesn't find. */
export const saysUnknown = (said: string): boolean => /no conversation found/i.test(said)

const remedies: Readonly<Record<string, string>> = {
  authentication_failed: "check its key or login",
  oauth_org_not_allowed: "check its login",
  cloud_credential_error: "check its credentials",
  billing_error: "check the account's balance",
  model_not_found: "check `model`",
  rate_limit: "the provider limits how much is asked of it",
  overloaded: "the provider is overloaded",
  server_error: "the provider has a problem"
}

/** The CLI counts it among a provider's problems. */
const overloadedStatus = 529

/**
 * The model's API refused. `kind` is the CLI's word for it, if it has one. Only a
 * request that is wrong in itself is final.
 */
export const refused = (options: {
  readonly program: string
  readonly status: number | undefined
  readonly kind: string | undefined
  readonly said: string
}): Agent.AgentError => {
  const { kind, program, said, status } = options
  const remedy = remedies[status === overloadedStatus ? "overloaded" : (kind ?? "")]
  const error = new ClaudeError({
    kind: "Provider",
    program,
    problem: `got no answer from the model's API (${said})${remedy === undefined ? "" : `: ${remedy}`}`,
    ...(status === undefined ? {} : { status: Math.trunc(status) })
  })
  const invalid = kind === undefined || kind === "unknown" ? status === 400 : kind === "invalid_request"
  if (kind === "model_not_found") return noModel(error)
  return invalid || status === 413 ? rejected(error) : failed(error)
}
