/**
 * How a failure of a program that answers is told: to the pipeline by its class,
 * to the log by a sentence that names the program and what it said last.
 */
import * as Agent from "@sluice/runtime/Agent"

/** A failed attempt: it counts, and is tried again. */
export const failed = (cause: unknown): Agent.AgentError => new Agent.AgentError({ reason: "Failed", cause })

/** Nothing that is tried again will help, but other words may. */
export const rejected = (cause: unknown): Agent.AgentError => new Agent.AgentError({ reason: "Rejected", cause })

/** There is no such model; `models` are those that there are, where they are known. */
export const noModel = (cause: unknown, models?: ReadonlyArray<string>): Agent.AgentError =>
  new Agent.AgentError({ reason: "NoModel", cause, ...(models === undefined ? {} : { models }) })

/** The conversation can't be found: the person is asked. */
export const historyGone = (cause: unknown): Agent.AgentError => new Agent.AgentError({ reason: "HistoryGone", cause })

/** What a program did, with the end of its standard error where it said anything. */
export const sentence = (told: {
  readonly program: string
  readonly problem: string
  readonly stderr?: string | undefined
}): string => {
  const said = told.stderr === undefined || told.stderr === "" ? "" : `; on standard error it said: ${told.stderr}`
  return `agent "${told.program}" ${told.problem}${said}`
}
