/**
 * What a gateway is doing: `status`, `sessions`, `audit` and `dead-letters`. Each
 * asks the running gateway, and looks at the store itself when there is none or
 * when it is too busy to answer; the answer says which of the two it was.
 */
import type { LiveSession } from "@sluice/runtime/Gateway"
import type { DeadLetter, Figures, JournalError, JournalReads, Ledger, SessionSummary } from "@sluice/runtime/Journal"
import { conversationKey } from "@sluice/runtime/Message"
import { lastStop } from "@sluice/runtime/Shutdown"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type { Place } from "../configuration/Sources.ts"
import { codes, Ending } from "../process/Exit.ts"
import { escape } from "../LogEncoder.ts"
import type { ConfigurationError } from "../configuration/Problem.ts"
import type { WithPools } from "../pools/PoolReadiness.ts"
import { ask, type Refused, type Silent } from "./Ask.ts"
import * as Store from "./Store.ts"
import * as Words from "./Words.ts"

/** Where an answer comes from: the gateway, or the store because the gateway is not there or silent. */
type From = { readonly from: "gateway" } | { readonly from: "store"; readonly why: Silent }

/** How a question fails. */
export type Failure = Silent | Refused | ConfigurationError | JournalError | Ending

/** Asks the gateway, or the store in its place. */
export const either = <A>(
  place: Place,
  path: `/${string}`,
  question: (reads: JournalReads, why: Silent) => Effect.Effect<A, JournalError | Ending>
): Effect.Effect<{ readonly answer: A; readonly source: From }, Failure> =>
  ask(place, { method: "GET", path }).pipe(
    Effect.map(({ body }) => ({ answer: body as A, source: { from: "gateway" } as From })),
    Effect.catchTag("Silent", (why) =>
      Effect.map(
        Store.read(place, (reads) => question(reads, why)),
        (answer) => ({ answer, source: { from: "store", why } as From })
      )
    )
  )

/** Says where an answer comes from, when it is not the gateway. */
export const note = (source: From): ReadonlyArray<string> =>
  source.from === "gateway" ? [] : [`(from the store: ${source.why.message})`]

/** The sessions of a conversation by its key, or by its bare name on HTTP; 1 when there is no such conversation. */
export const sessionsOf = Effect.fnUntraced(function* (
  reads: JournalReads,
  conversation: string
): Effect.fn.Return<ReadonlyArray<SessionSummary>, JournalError | Ending> {
  const given = yield* reads.sessions({ key: conversation })
  const found = given.length > 0 ? given : yield* reads.sessions({ key: conversationOnHttp(conversation) })
  if (found.length > 0) return found
  const lines = [`sluice: conversation ${escape(conversation)}: there is none; sluice sessions lists them`]
  return yield* new Ending({ code: codes.failed, lines })
})

/** The key of a conversation on HTTP. */
export const conversationOnHttp = (name: string) =>
  conversationKey({ channel: "http", account: "", peer: name, thread: "" })

// ---------------------------------------------------------------- status

interface StatusAnswer {
  readonly version: string
  readonly pid?: number
  readonly url?: string
  readonly epoch: number
  readonly uptime?: number
  readonly lastStop: string
  /** One of an earlier version says nothing of its channels. */
  readonly readiness?: Omit<WithPools, "channels"> & Partial<Pick<WithPools, "channels">>
  /** Not everything that a figure counts today is there in a gateway or a store of an earlier version. */
  readonly figures: Partial<Figures>
  readonly live?: ReadonlyArray<LiveSession>
  readonly agents?: ReadonlyArray<string>
  readonly channels?: ReadonlyArray<{ readonly name: string; readonly delivery: string; readonly at: string }>
}

/** The last stop in the words of the start lines; of a store that nobody runs on its last boot's own. */
const lastStopOf = (boot: Effect.Success<JournalReads["opening"]>, why: Silent, now: number) => {
  if (why.why === "blocked") return lastStop(boot.postMortem)
  const { ended } = boot
  return ended.endedAt === undefined || ended.end === "unclean"
    ? lastStop(ended)
    : `${Words.ago(ended.endedAt, now)}, ${lastStop(ended)}`
}

const fromStore = (reads: JournalReads, why: Silent): Effect.Effect<StatusAnswer, JournalError> =>
  Effect.gen(function* () {
    const boot = yield* reads.opening
    const { epoch, version } = boot
    return {
      version,
      epoch,
      lastStop: lastStopOf(boot, why, yield* Clock.currentTimeMillis),
      figures: yield* reads.figures
    }
  })

const counts = (record: { readonly [key: string]: number | undefined }): string =>
  Object.entries(record)
    .filter(([, value]) => (value ?? 0) > 0)
    .map(([key, value]) => `${value} ${key}`)
    .join(", ") || "none"

const messages = (figures: Partial<Figures>, now: number): string => {
  const { accepted, ends } = figures
  if (accepted === undefined || ends === undefined) return "not counted by this version"
  if (accepted === 0) return "none accepted yet"
  const open = accepted - Object.values(ends).reduce((sum, count) => sum + count, 0)
  const oldest = figures.oldestOpen === undefined ? "" : `, the oldest for ${Words.span(now - figures.oldestOpen)}`
  const still = open === 0 ? "" : ` (${figures.waiting ?? 0} waiting for a turn${oldest})`
  return `${accepted} accepted: ${counts({ ...ends, open })}${still}`
}

const replies = ({ dead = 0, ...open }: Figures["replies"]): string =>
  `open: ${counts(open)}; dead: ${dead === 0 ? "none" : `${dead}, see: sluice dead-letters`}`

/** Why it is worth a look; what is wrong with it stands in the first line already. */
const stateOfChannel = ({ readiness }: StatusAnswer, name: string, now: number): string => {
  const found = readiness?.channels?.find((channel) => channel.name === name)
  return found === undefined || found.state === "up" ? "" : `, ${found.state} for ${Words.span(now - found.since)}`
}

const statusLines = (answer: StatusAnswer, source: From, now: number): ReadonlyArray<string> => {
  const { figures } = answer
  const running =
    answer.readiness === undefined
      ? source.from === "store" && source.why.why === "blocked"
        ? "running, and does not answer"
        : "not running"
      : answer.readiness.ready
        ? `ready, for ${Words.span(answer.uptime ?? 0)}`
        : `not ready: ${answer.readiness.problems.map(escape).join("; ")}`
  return [
    `gateway    ${running}`,
    ...(answer.readiness?.notes ?? []).map((note) => `note       ${escape(note)}`),
    ...(answer.url === undefined ? [] : [`address    ${escape(answer.url)} (pid ${answer.pid ?? "?"})`]),
    `store      boot ${answer.epoch}, sluice ${escape(answer.version)}, last stop: ${escape(answer.lastStop)}`,
    ...(answer.agents === undefined ? [] : [`agents     ${answer.agents.map(escape).join(", ")}`]),
    ...(answer.channels ?? []).map(
      ({ at, delivery, name }) =>
        `channel    ${escape(name)}: ${escape(delivery)}, ${escape(at)}${stateOfChannel(answer, name, now)}`
    ),
    ...(answer.readiness?.pools ?? []).map(
      ({ name, problems, state }) => `pool       ${escape(name)}: ${[state, ...problems.map(escape)].join(", ")}`
    ),
    `messages   ${messages(figures, now)}`,
    `turns      open: ${counts(figures.openTurns ?? {})}; ended: ${counts(figures.turns ?? {})}`,
    `replies    ${replies(figures.replies ?? {})}`,
    ...(answer.live ?? [])
      .filter(({ held, state }) => held !== undefined || state.name !== "idle")
      .slice(0, 20)
      .map((session) => `session    ${Words.session(session)}`),
    ...note(source)
  ]
}

/** `sluice status`: 0 when it runs, 3 when it does not. */
export const status = Effect.fnUntraced(function* (place: Place, json: boolean): Effect.fn.Return<void, Failure> {
  const { answer, source } = yield* either<StatusAnswer>(place, "/v1/status", fromStore)
  const running = source.from === "gateway" || source.why.why === "blocked"
  if (json) yield* Words.json({ running, answering: source.from === "gateway", ...answer })
  else yield* Words.lines(statusLines(answer, source, yield* Clock.currentTimeMillis))
  if (!running) return yield* new Ending({ code: codes.notRunning, lines: [] })
})

// ---------------------------------------------------------------- sessions

type SessionLine = SessionSummary & { readonly live?: LiveSession | undefined }

/**
 * As `/sessions` has it: one that is not in memory has let go of its agent, if it had one. Without a gateway nothing runs,
 * whatever the store says a turn was doing when it was written.
 */
const stateOf = ({ agent, archived, live, turn }: SessionLine): string => {
  if (archived) return "archived"
  if (live !== undefined) return Words.doing(live)
  if (turn !== undefined) return "waiting to resume"
  return agent === "" ? "idle" : "suspended"
}

/** `sluice sessions`; of one conversation with `of`. */
export const sessions = Effect.fnUntraced(function* (
  place: Place,
  of: string | undefined,
  json: boolean
): Effect.fn.Return<void, Failure> {
  const query = of === undefined ? "" : `?conversation=${encodeURIComponent(of)}`
  const { answer, source } = yield* either(place, `/v1/sessions${query}`, (reads) =>
    Effect.map(
      of === undefined ? reads.sessions({}) : sessionsOf(reads, of),
      (sessions): { readonly sessions: ReadonlyArray<SessionLine> } => ({ sessions })
    )
  )
  if (json) return yield* Words.json({ from: source.from, ...answer })
  const now = yield* Clock.currentTimeMillis
  const latest = answer.sessions.toSorted((a, b) => b.lastActive - a.lastActive)
  const rows = latest.map((session) => [
    `${session.conversationKey}${session.name === "main" ? "" : `#${session.name}`}${session.current ? "" : " (not current)"}`,
    stateOf(session),
    session.persona === "" ? "default" : session.persona,
    session.agent,
    String(session.waiting),
    Words.ago(session.lastActive, now)
  ])
  const text =
    rows.length === 0
      ? ["no sessions yet"]
      : Words.table(["session", "state", "persona", "agent", "waiting", "last active"], rows)
  yield* Words.lines([...text, ...note(source)])
})

// ---------------------------------------------------------------- audit

const auditLines = (ledger: Ledger): ReadonlyArray<string> => {
  const ends = Object.entries(ledger.ends).filter(([, number]) => number > 0)
  const more = Object.entries(ledger.detail).filter(([name, number]) => number > 0 && name.includes("("))
  return [
    `accepted   ${ledger.accepted}`,
    ...ends.map(([name, number]) => `${name.padEnd(14)} ${number}`).map((line) => `  ${line}`),
    ...more.map(([name, number]) => `    of these ${escape(name)} ${number}`),
    `  open           ${ledger.open}`,
    `posts      ${ledger.posts.accepted} accepted: ${ledger.posts.sent} sent, ${ledger.posts.open} open, ${ledger.posts.undeliverable} undeliverable, ${ledger.posts.unknown} unknown`,
    ledger.balanced
      ? "balanced   yes: accepted = ends + open"
      : "balanced   NO: messages are missing from the ledger; keep the store and report it"
  ]
}

/** `sluice audit`: 70 when the ledger does not balance. */
export const audit = Effect.fnUntraced(function* (place: Place, json: boolean): Effect.fn.Return<void, Failure> {
  const { answer, source } = yield* either(place, "/v1/audit", (reads) => reads.ledger)
  if (json) yield* Words.json({ from: source.from, ...answer })
  else yield* Words.lines([...auditLines(answer), ...note(source)])
  if (!answer.balanced) return yield* new Ending({ code: codes.defect, lines: [] })
})

// ---------------------------------------------------------------- dead letters

interface Letters {
  readonly deadLetters: ReadonlyArray<DeadLetter>
}

/** `sluice dead-letters list`. */
export const deadLetters = Effect.fnUntraced(function* (place: Place, json: boolean): Effect.fn.Return<void, Failure> {
  const { answer, source } = yield* either(place, "/v1/dead-letters", (reads) =>
    Effect.map(reads.deadLetters({ limit: 1000 }), (deadLetters): Letters => ({ deadLetters }))
  )
  if (json) return yield* Words.json({ from: source.from, ...answer })
  const now = yield* Clock.currentTimeMillis
  const rows = answer.deadLetters.map(({ conversationKey, diedAt, error, row }) => [
    String(row.id),
    conversationKey,
    Words.ago(diedAt, now),
    error,
    row.reply.text
  ])
  const text =
    rows.length === 0 ? ["no dead letters"] : Words.table(["number", "conversation", "died", "why", "text"], rows)
  yield* Words.lines([...text, ...note(source)])
})
