/**
 * What a command answers. The facts are gathered before its transaction; what that
 * finds and does comes to the words it returns, inside it, so that reply and effect
 * are one commit.
 */
import * as Effect from "effect/Effect"
import type { CommandOutcome, Journal, Row, SessionSummary } from "../../Journal.ts"
import type { Speaker } from "../../Notices.ts"
import type { Sessions } from "../../Sessions.ts"
import { type Command, queueModes, sessionName } from "./parse.ts"
import { help, list, status, usage } from "./words.ts"

/** What is asked for the facts. */
interface Told {
  readonly journal: Journal["Service"]
  readonly sessions: Sessions["Service"]
  readonly notices: Speaker
  /** Epoch milliseconds. */
  readonly now: () => number
  /** Whether people hear of restarts where the command was given. */
  readonly told: boolean
}

/** The most sessions that are named where one is not found. */
const mostNames = 10

/** Names as a person is told of them; archived ones come back by `/session` too. */
const listed = (all: ReadonlyArray<SessionSummary>): string => {
  const more = all.length - mostNames
  const shown = all
    .slice(0, mostNames)
    .map(({ name }) => name)
    .join(", ")
  return more > 0 ? `${shown} and ${more} more (/sessions lists them)` : shown
}

type Say = (...args: Parameters<Speaker["say"]>) => string

const begun = (
  say: Say,
  { name = "", persona = "" }: Extract<Command, { readonly _tag: "New" }>,
  { cancelled, created, emptied, keeps }: CommandOutcome
): string => {
  if (name === "" || created) return say("startedNew", { name, waiting: cancelled.length })
  // Of that name there was one already: it goes on with what was said in it, which is nothing fresh.
  return keeps === undefined
    ? say(emptied ? "switchedEmpty" : "switched", { name })
    : say("switchedKeeps", { name, persona, agent: keeps })
}

const archived = (
  say: Say,
  { name = "" }: Extract<Command, { readonly _tag: "Archive" }>,
  { archived, busy, session }: CommandOutcome,
  all: ReadonlyArray<SessionSummary>
): string => {
  if (busy) return say("archiveBusy", { name: name === "" ? session.name : name })
  if (archived === undefined) {
    return say("nothingToArchive", { name, names: listed(all.filter((one) => !one.archived)) })
  }
  return say(archived.file === undefined ? "archivedOnly" : "archived", { name: archived.name })
}

/** Whether restarts are heard of. Where nobody is told, also who asks for it is not. */
const heard = (told: boolean, { noticed }: CommandOutcome): string => (told ? (noticed ? "on" : "off") : "never")

const usageOf = Effect.fnUntraced(function* ({ reads }: Journal["Service"], session: number) {
  const [total] = yield* reads.usage({ by: "total", session })
  const models = yield* reads.usage({ by: "model", session })
  return { total, models, uncounted: (yield* reads.uncounted({ session })).agents }
})

/** What a command answers, from facts that were gathered before and what its transaction found. */
export const wording = Effect.fnUntraced(function* (
  { journal, notices, now, sessions, told }: Told,
  row: Row,
  command: Command
) {
  const live = yield* sessions.live
  const names = command._tag === "Sessions" || command._tag === "Archive" || command._tag === "Switch"
  const all = names ? yield* journal.reads.sessions({ conversation: row.conversation }) : []
  const used = command._tag === "Usage" ? yield* usageOf(journal, row.session) : undefined
  const say = (...args: Parameters<typeof notices.say>) => notices.say(...args).text
  return (outcome: CommandOutcome): string => {
    const { cancelled, session } = outcome
    switch (command._tag) {
      case "Stop":
        return cancelled.length === 0 && outcome.turn === undefined
          ? say("nothingToStop", {})
          : say("stopped", { waiting: cancelled.length })
      case "New":
        return begun(say, command, outcome)
      case "Switch":
        if (outcome.missing) {
          return say("noSuchName", { name: command.name, names: listed(all), canBegin: sessionName.test(command.name) })
        }
        return say(outcome.emptied ? "switchedEmpty" : "switched", { name: command.name })
      case "Archive":
        return archived(say, command, outcome, all)
      case "Status":
        return status(
          session,
          live.find(({ id }) => id === session.id)
        )
      case "Sessions":
        return list(all, live, now())
      case "Timeout":
        return command.minutes === undefined
          ? say("timeoutIs", { timeout: session.idleTimeout ?? sessions.idleTimeout })
          : say("timeoutSet", { timeout: command.minutes * 60_000 })
      case "Queue":
        return command.mode === undefined
          ? say("queueIs", { mode: session.queueMode ?? sessions.queueMode, modes: queueModes.join(", ") })
          : say("queueSet", { mode: command.mode })
      case "Model":
        return command.model === undefined
          ? say("modelIs", { model: session.model ?? "", models: (command.offered ?? []).join(", ") })
          : say("modelSet", { model: session.model ?? "" })
      case "Output":
        return say("outputSet", { mode: command.mode })
      case "Usage":
        return usage(session.name, used?.total, used?.models ?? [], used?.uncounted ?? [])
      case "Notices":
        return say(command.on === undefined ? "noticesAre" : "noticesSet", { now: heard(told, outcome) })
      case "Whoami":
        return say("whoami", { sender: row.sender, where: row.conversationKey, name: session.name })
      case "Unwritten":
        return say("archiveFailed", {})
      case "NoModels":
        return say("noModels", { agent: command.agent })
      case "Retry":
        return outcome.copies.length === 0
          ? say("nothingToRetry", {})
          : say("retrying", { messages: outcome.copies.length })
      case "Forget":
        return command.confirmed ? say("forgotten", { waiting: cancelled.length }) : say("forgetSure", {})
      case "Help":
        return help
      case "Allow":
        return outcome.permission === undefined
          ? say("permissionGone", {})
          : say("decided", { option: outcome.permission.decision ?? command.option })
      case "Refused":
        return say("notPossible", { value: command.value, allowed: command.allowed })
      case "Unknown":
        return say("notUnderstood", { command: command.word })
    }
  }
})
