/**
 * Opens a session's agent in a scope of its own and keeps it warm between turns.
 * A reload that exchanges the agent takes effect at the next turn: the old one's
 * scope is closed before the new one is opened, so there are never two.
 */
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import { type Agent, AgentError, type AgentSession, maxKept, type OpenAgent, StopBudget } from "../../Agent.ts"
import type { Claimed, JournalError } from "../../Journal.ts"
import { sessionKey } from "../../Message.ts"
import type { Running, Session } from "../../Session.ts"
import { keptKey } from "../journal/writes/values.ts"
import { resolveAgent } from "../registry.ts"
import { AskingTurn } from "../shutdown/AskingTurn.ts"
import { failedBy, type Outcome, untilCut } from "./attempt.ts"
import { message } from "./claiming.ts"
import { showLine } from "./events.ts"
import { sessionValues } from "./values.ts"

/** An agent that is open for a session. */
export interface Kept {
  readonly agent: Agent
  /** The model that it was opened with. */
  readonly model: string | undefined
  /** What its persona told it when it was opened. */
  readonly systemPrompt: string | undefined
  readonly open: OpenAgent
  readonly scope: Scope.Closeable
}

/** A pause that people are told of, milliseconds. */
const longPause = 60_000

/** A failure of the store as the agent hears of it; the program hears of it from the journal. */
const asAgentError = (cause: JournalError | Error) => new AgentError({ reason: "Failed", cause })

const utf8 = new TextEncoder()

/** What an agent may ask of the journal: what it keeps under its own name, and the session's past. */
const remembering = ({ env, id }: Session, agent: string): Pick<AgentSession, "kept" | "keep" | "history"> => ({
  kept: Effect.mapError(env.journal.value(id, keptKey(agent)), asAgentError),
  keep: (value) => {
    const bytes = value === undefined ? 0 : utf8.encode(value).length
    return bytes > maxKept
      ? Effect.fail(asAgentError(new Error(`${bytes} bytes can't be kept: at most ${maxKept}`)))
      : env.journal
          .keep(id, keptKey(agent), () => value)
          .pipe(
            Effect.mapError(asAgentError),
            Effect.flatMap((kept) =>
              kept ? Effect.void : Effect.fail(asAgentError(new Error("the session was forgotten")))
            )
          )
  },
  history: ({ before, limit }) =>
    env.journal.history(id, { ...(before === undefined ? {} : { before: Number(before) }), limit }).pipe(
      Effect.flatMap((turns) =>
        Effect.forEach(turns, ({ answer, rows, turn }) =>
          Effect.map(env.files.ofMessages(rows.map(message)), (messages) => ({ id: String(turn), messages, answer }))
        )
      ),
      Effect.mapError(asAgentError)
    )
})

const describe = (
  session: Session,
  { claimed: { session: row }, idleFor }: Running,
  agent: string,
  systemPrompt: string | undefined
): AgentSession => ({
  id: row.id,
  key: sessionKey(row.conversationKey, row.name),
  name: row.name,
  conversation: row.conversationKey,
  instance: session.env.instance,
  epoch: session.env.epoch,
  ...(idleFor === undefined ? {} : { idleFor }),
  ...(systemPrompt === undefined ? {} : { systemPrompt }),
  ...(row.model === undefined ? {} : { model: row.model }),
  ...remembering(session, agent),
  ...sessionValues(session.env.journal, row.id, sessionKey(row.conversationKey, row.name)),
  killed: (child) =>
    Effect.suspend(() => {
      session.env.stop.roll?.killed({ id: session.id, key: session.key }, child)
      return Effect.logWarning("A process had to be killed").pipe(
        Effect.annotateLogs({ session: session.key, pid: child.pid, signal: child.signal })
      )
    })
})

/** Adds what an agent may ask about its turn and the time that is left. */
export const around =
  ({ env }: Session, { turn }: Claimed) =>
  (services: Context.Context<never>): Context.Context<never> =>
    Context.add(
      Context.add(services, AskingTurn, { turn: turn.id, attempt: turn.attempt }),
      StopBudget,
      Effect.sync(() => Math.max(0, env.stop.by - env.now()))
    )

/** The first line of progress when the agent comes back after a while: it may take longer than usual. */
const resuming = (session: Session, running: Running): Effect.Effect<void> => {
  const { idleFor = 0 } = running
  // A further try is no coming back.
  if (idleFor <= longPause || running.claimed.turn.errors > 0) return Effect.void
  const { parts } = session.env.outbox.sentence(running.claimed.session.address, "resuming", { idle: idleFor })
  return showLine(session, running, parts.join(""))
}

/** Ends an agent's scope. An agent that dies of it has let go as well as it can: its session goes on. */
const letGo = (session: Session, scope: Scope.Closeable): Effect.Effect<void> =>
  Effect.catchCause(Scope.close(scope, Exit.void), (cause) =>
    Effect.logError("An agent died while it was closed", cause).pipe(Effect.annotateLogs({ session: session.key }))
  )

/** The session's agent, opened if it is not; or how the attempt ended without one. */
export const openAgent = Effect.fnUntraced(function* (session: Session, running: Running) {
  const { claimed } = running
  const { agent, systemPrompt, name } = resolveAgent(session.env.registered.entries, claimed.session)
  if (agent === undefined) {
    return { _tag: "Failed", reason: "Failed", error: `agent "${name}" is not configured` } satisfies Outcome
  }
  const { model } = claimed.session
  const kept = session.agent
  if (kept?.agent === agent && kept.model === model && kept.systemPrompt === systemPrompt)
    return { _tag: "Opened", kept } as const
  yield* closeAgent(session)
  yield* resuming(session, running)
  const scope = yield* Scope.make()
  const opening = Effect.suspend(() => agent.open(describe(session, running, name, systemPrompt))).pipe(
    Effect.provideService(Scope.Scope, scope)
  )
  const opened = yield* untilCut(Effect.exit(opening), running.cut, around(session, claimed))
  if (opened._tag === "Success") {
    session.agent = { agent, model, systemPrompt, open: opened.value, scope }
    return { _tag: "Opened", kept: session.agent } as const
  }
  yield* letGo(session, scope)
  if (opened._tag === "Cut") return opened
  if (opened._tag !== "Failure") return opened
  const error = Cause.findErrorOption(opened.cause)
  return error._tag === "Some"
    ? failedBy(error.value)
    : ({ _tag: "Failed", reason: "Defect", error: Cause.pretty(opened.cause) } satisfies Outcome)
})

/** Ends the session's agent, if one is open. */
export const closeAgent = (session: Session): Effect.Effect<void> =>
  Effect.suspend(() => {
    const kept = session.agent
    session.agent = undefined
    return kept === undefined ? Effect.void : letGo(session, kept.scope)
  })

/** Milliseconds of an agent's optional bound; 0 = none. */
export const bound = (input: Duration.Input | undefined): number => (input === undefined ? 0 : Duration.toMillis(input))
