/**
 * What a model is told of the conversation so far: the newest turns that fit, and
 * what came before them in short. Once that is cut or summarised it stays so: it is
 * kept with the session, so that a summary is paid once and the beginning of a
 * prompt stays the same from turn to turn, which is what a server's cache needs.
 */
import type { AgentSession, PastTurn } from "@sluice/runtime/Agent"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { transcript } from "./prompt.ts"
import { estimate, firstTokens } from "./tokens.ts"

/** What is kept with the session. */
const Kept = Schema.Struct({
  /** The newest turn that is not told in full any more. */
  upTo: Schema.optionalKey(Schema.String),
  /** It and everything before it in short. */
  summary: Schema.optionalKey(Schema.String),
  /** The person was told. */
  told: Schema.optionalKey(Schema.Boolean),
  /** Tokens that the server counts for each that is guessed. */
  ratio: Schema.optionalKey(Schema.Finite)
})

/** What is kept with the session. */
export type Kept = typeof Kept.Type

const KeptJson = Schema.fromJsonString(Kept)
const decode = Schema.decodeUnknownOption(KeptJson)
const encode = Schema.encodeSync(KeptJson)

/** What this session kept; nothing when it is somebody else's. */
export const load = (session: AgentSession) =>
  Effect.map(session.kept, (text): Kept => (text === undefined ? {} : Option.getOrElse(decode(text), (): Kept => ({}))))

/** Keeps it; committed when this returns. */
export const store = (session: AgentSession, kept: Kept) => session.keep(encode(kept))

/** Turns that are asked for at one time. */
const pageSize = 32

/** How much of the budget stays filled when the rest is put away: what was put away is not touched again at every turn. */
const stays = 0.6

/** The longest summary, in tokens and in bytes; what is kept of a session has a limit. */
const summaryTokens = 2048
const summaryBytes = 12_000

interface Read {
  /** Newest first. */
  readonly turns: ReadonlyArray<PastTurn>
  readonly tokens: number
}

/** Page by page from the newest, until everything that is told in full is there or `most` is reached. */
const read = Effect.fnUntraced(function* (
  session: AgentSession,
  upTo: string | undefined,
  most: number,
  cost: (turn: PastTurn) => number
) {
  const turns: Array<PastTurn> = []
  let tokens = 0
  for (;;) {
    const before = turns.at(-1)?.id
    const page = yield* session.history({ limit: pageSize, ...(before === undefined ? {} : { before }) })
    for (const turn of page) {
      if (turn.id === upTo) return { turns, tokens } satisfies Read
      turns.push(turn)
      tokens += cost(turn)
      if (tokens > most) return { turns, tokens } satisfies Read
    }
    if (page.length === 0) return { turns, tokens } satisfies Read
  }
})

/** What fits. */
export interface Recalled {
  /** Oldest first. */
  readonly past: ReadonlyArray<PastTurn>
  /** What has to be put away, oldest first; empty when everything fits. */
  readonly away: ReadonlyArray<PastTurn>
}

/** Reads the turns that are told in full, and those that can't be any more because they are over the budget. */
export const recall = Effect.fnUntraced(function* (
  session: AgentSession,
  kept: Kept,
  budget: number,
  cost: (turn: PastTurn) => number
): Effect.fn.Return<Recalled, Effect.Error<ReturnType<AgentSession["history"]>>> {
  // Beyond the budget by half, so that a summary covers more than the one turn that was too many.
  const { tokens, turns } = yield* read(session, kept.upTo, budget * 1.5, cost)
  if (tokens <= budget) return { past: turns.toReversed(), away: [] }
  let room = budget * stays
  const first = turns.findIndex((turn) => (room -= cost(turn)) < 0)
  return { past: turns.slice(0, first).reverse(), away: turns.slice(first).reverse() }
})

/** What the model reads before the first turn that is told in full. */
export const before = ({ summary, upTo }: Kept): string | undefined =>
  summary !== undefined
    ? `[The earlier part of this conversation in short:\n${summary}]`
    : upTo === undefined
      ? undefined
      : "[The earlier part of this conversation is left out.]"

/** A summary as it is kept: whatever the model wrote, it fits. */
export const fitting = (summary: string): string => {
  const text = firstTokens(summary.trim(), summaryTokens)
  let end = text.length
  while (new TextEncoder().encode(JSON.stringify(text.slice(0, end))).length > summaryBytes) end = Math.floor(end * 0.9)
  return text.slice(0, end).toWellFormed()
}

/** The newest of the turns as a text of at most `room` tokens, oldest first. */
export const newest = (turns: ReadonlyArray<PastTurn>, room: number): string => {
  let left = room
  const first = turns.findLastIndex((turn) => (left -= estimate(transcript([turn])) + 1) < 0)
  const fits = turns.slice(first + 1)
  return fits.length > 0 ? transcript(fits) : firstTokens(transcript(turns.slice(-1)), room)
}

/** The question that makes a summary. */
export const summaryQuestion = (previous: string | undefined, text: string): string =>
  [
    ...(previous === undefined ? [] : [`What came before:\n${previous}`]),
    `The conversation:\n${text}`,
    "Sum this up in at most 400 words for yourself, to go on with the conversation later: who takes part, what was asked, found out, decided and promised, names, numbers, preferences and what is open. Write only the summary, in the language of the conversation."
  ].join("\n\n")
