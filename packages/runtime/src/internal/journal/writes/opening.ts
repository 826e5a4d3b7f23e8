/**
 * The first transaction of a boot: a new epoch, and everything that the one
 * before left open, with its counts. It is one commit, so a boot that dies in it
 * did not happen, and one that dies after it finds nothing counted twice.
 *
 * A turn that reached three crashes is left open here: Recovery suspends it with
 * its notice before anything else. The chain of unclean boots is cleared already,
 * because what made them is known and set aside.
 */
import * as Effect from "effect/Effect"
import type { SqlError } from "effect/sql/SqlError"
import { suspectAt } from "./claim.ts"
import { bump, type Counters, decode, empty } from "../writer/counters.ts"
import type { Query } from "../store/database.ts"
import type { TurnRow } from "../records.ts"
import type { Opening, PostMortem } from "../reads/reports.ts"
import { turnColumns, turnOf, type TurnRecord } from "../store/rows.ts"
import { recentDays } from "./usage.ts"

/** Crashes after which a turn is suspended. */
export const poisonAt = 3
/** Boots within this many milliseconds of each other are a chain. */
const chainGap = 300_000

/** A boot's row, as far as the next one asks. */
export interface BootRecord {
  readonly epoch: number
  readonly version: string
  readonly opened_at: number
  readonly chain: number
  readonly counters: string
  readonly uptime: number
  readonly healthy: number
  readonly mark: string | null
  readonly marked_at: number | null
  readonly failed: number
  readonly clean: number
  readonly reason: string | null
  readonly exit_code: number | null
  readonly millis: number | null
  readonly cut: number
  readonly ended_at: number | null
  readonly open_turns: number | null
  readonly waiting: number | null
  readonly open_replies: number | null
}

/** Columns of {@link BootRecord}. */
export const bootColumns = `epoch, version, opened_at, chain, counters, uptime, healthy, mark, marked_at, failed, clean,
  reason, exit_code, millis, ended_at, open_turns, waiting, open_replies,
  exists (select 1 from json_each(report, '$.reasons') why where exit_code = 75 and why.value ->> 'code' = 80) as cut`

interface Count {
  readonly count: number
}

const count = (query: Query, statement: string) => Effect.map(query<Count>(statement), ([row]) => row?.count ?? 0)

/** What is open in the store. */
export const countOpen = Effect.fnUntraced(function* (query: Query) {
  return {
    openTurns: yield* count(query, `select count(*) as count from sluice_turns where ended_at is null`),
    waiting: yield* count(
      query,
      `select count(*) as count from sluice_inbound where turn is null and ending is null and command = 0`
    ),
    openReplies: yield* count(
      query,
      `select count(*) as count from sluice_replies where ended_at is null and number is not null`
    )
  }
})

/** What is told of a boot that ended, with what was open when the next one found it. */
export const postMortemOf = (
  last: BootRecord | undefined,
  open: { readonly openTurns: number; readonly waiting: number; readonly openReplies: number },
  now: number
): PostMortem =>
  last === undefined
    ? {
        epoch: 0,
        end: "first",
        reason: undefined,
        marked: false,
        exitCode: undefined,
        startedAt: now,
        endedAt: undefined,
        millis: undefined,
        cut: false,
        ...open
      }
    : {
        epoch: last.epoch,
        end: last.clean === 1 ? "clean" : "unclean",
        reason: last.reason ?? last.mark ?? undefined,
        marked: last.mark !== null,
        exitCode: last.exit_code ?? undefined,
        startedAt: last.opened_at,
        endedAt: last.ended_at ?? undefined,
        millis: last.millis ?? undefined,
        cut: last.cut === 1,
        ...open
      }

/** How the attempts of the dying epoch are counted. */
interface Verdict {
  readonly turn: TurnRecord
  readonly crashes: number
  readonly cuts: number
  readonly cutBy: string
}

/** Rules of contract C7 for one turn that ran when its epoch died. */
const judge = (turn: TurnRecord, last: BootRecord, trials: boolean): Verdict => {
  const planned = last.mark ?? (last.failed === 1 || last.exit_code === 74 ? "storage" : undefined)
  // Marked by the stop of its own epoch: a cut, however it ended.
  if (planned !== undefined) return { turn, crashes: turn.crashes, cuts: turn.cuts + 1, cutBy: planned }
  // While a suspect is tried, a crash counts for nobody else.
  const counts = !trials || turn.trial === 1
  return { turn, crashes: turn.crashes + (counts ? 1 : 0), cuts: turn.cuts, cutBy: "crash" }
}

const writeVerdicts = Effect.fnUntraced(function* (
  query: Query,
  epoch: number,
  verdicts: ReadonlyArray<Verdict>
): Effect.fn.Return<void, SqlError> {
  if (verdicts.length > 0) {
    yield* query(
      `update sluice_turns set state = 'interrupted', crashes = j.value->>1, cuts = j.value->>2, cut_by = j.value->>3
       from json_each(?) j where sluice_turns.id = j.value->>0`,
      [JSON.stringify(verdicts.map(({ crashes, cutBy, cuts, turn }) => [turn.id, crashes, cuts, cutBy]))]
    )
  }
  yield* query(`update sluice_turns set epoch = ?, trial = 0 where ended_at is null`, [epoch])
})

/** Stored waits keep their length: what is left of one is never more than that, however the clock jumped. */
const clampWaits = Effect.fnUntraced(function* (query: Query, now: number): Effect.fn.Return<void, SqlError> {
  yield* query(
    `update sluice_turns set wait_until = min(wait_until, ? + wait) where state = 'waiting' and ended_at is null`,
    [now]
  )
  yield* query(
    `update sluice_replies set not_before = min(not_before, ? + wait) where ended_at is null and not_before is not null`,
    [now]
  )
  yield* query(`delete from sluice_throttles where until_at <= ?`, [now])
  yield* query(`update sluice_throttles set until_at = min(until_at, ? + wait)`, [now])
  yield* query(`update sluice_notices set at = min(at, ?) where at > ?`, [now, now])
})

/** Placeholders whose turn ended while they were being placed, and whose process died before it could say so. */
const dropPlaceholders = (query: Query, now: number) =>
  query.change(
    `update sluice_replies set state = 'unknown', ended_at = ? where ended_at is null and number is null
       and not exists (select 1 from sluice_turns t where t.id = sluice_replies.turn and t.ended_at is null)`,
    [now]
  )

/** What a boot begins with. */
export interface Opened {
  readonly opening: Opening
  readonly counters: Counters
  /** Milliseconds of uptime of all boots so far. */
  readonly uptime: number
  /** For the writer's memory. */
  readonly turns: ReadonlyArray<TurnRecord>
  readonly untold: ReadonlyArray<number>
  readonly spent: ReadonlyArray<readonly [day: string, cost: number]>
}

/** Who opens. */
export interface Boot {
  readonly version: string
  /** Wall clock, epoch milliseconds. */
  readonly now: number
  /** The last epoch ended in a storage failure, as a file beside the store says when the store itself could not. */
  readonly failedEpoch: number | undefined
}

const chainOf = (last: BootRecord | undefined, now: number, poisoned: boolean): number => {
  // A planned stop that was cut short, or a disk that failed, is not a crash of this program.
  if (last === undefined || last.clean === 1 || last.mark !== null || last.failed === 1 || poisoned) return 0
  const chained = last.healthy === 0 && now - last.opened_at <= chainGap
  return chained ? last.chain + 1 : 1
}

/** Runs inside the opening transaction. */
export const openStore = Effect.fnUntraced(function* (query: Query, boot: Boot): Effect.fn.Return<Opened, SqlError> {
  const [found] = yield* query<BootRecord>(`select ${bootColumns} from sluice_boots order by epoch desc limit 1`)
  const last = found !== undefined && boot.failedEpoch === found.epoch ? { ...found, failed: 1 } : found
  const epoch = (last?.epoch ?? 0) + 1
  const instance = yield* instanceOf(query)
  if (found === undefined) yield* query(`insert into sluice_meta (key, value) values ('clean', '1')`)
  const open = yield* countOpen(query)
  const turns = yield* query<TurnRecord>(
    `select ${turnColumns} from sluice_turns t where t.ended_at is null order by +t.id`
  )
  const running = turns.filter((turn) => turn.state === "running")
  const trials = running.some((turn) => turn.trial === 1 && turn.crashes >= suspectAt)
  const verdicts = last === undefined ? [] : running.map((turn) => judge(turn, last, trials))
  yield* writeVerdicts(query, epoch, verdicts)
  yield* clampWaits(query, boot.now)
  yield* dropPlaceholders(query, boot.now)

  const poisoned = verdicts.some((verdict) => verdict.crashes >= poisonAt)
  const chain = chainOf(last, boot.now, poisoned)
  const counters = last === undefined ? empty() : decode(last.counters)
  const postMortem = postMortemOf(last, open, boot.now)
  yield* query(
    `insert into sluice_meta (key, value) values ('version', ?) on conflict (key) do update set value = excluded.value`,
    [boot.version]
  )
  bump(counters.boots, postMortem.end, 1)
  yield* query(
    `insert into sluice_boots (epoch, version, opened_at, chain, rounds, counters, uptime, open_turns, waiting, open_replies)
     values (?,?,?,?,0,?,?,?,?,?)`,
    [
      epoch,
      boot.version,
      boot.now,
      chain,
      JSON.stringify(counters),
      last?.uptime ?? 0,
      open.openTurns,
      open.waiting,
      open.openReplies
    ]
  )
  // Boots are kept for the post-mortem and the figures, not for ever.
  yield* query(`delete from sluice_boots where epoch < ?`, [epoch - 1000])
  const left = yield* query<TurnRecord>(
    `select ${turnColumns} from sluice_turns t where t.ended_at is null order by +t.id`
  )
  const rows: ReadonlyArray<TurnRow> = left.map(turnOf)
  const untold = yield* query<{ readonly session: number }>(`select distinct session from sluice_untold`)
  return {
    opening: { epoch, instance, postMortem, uncleanChain: chain, turns: rows, lastSeq: counters.seq },
    counters,
    uptime: last?.uptime ?? 0,
    turns: left,
    untold: untold.map((row) => row.session),
    spent: yield* recentDays(query, boot.now)
  }
})

/** The store's name, made at its first opening. */
const instanceOf = Effect.fnUntraced(function* (query: Query): Effect.fn.Return<string, SqlError> {
  const [row] = yield* query<{ readonly value: string }>(`select value from sluice_meta where key = 'instance'`)
  if (row !== undefined) return row.value
  const instance = crypto.randomUUID().replaceAll("-", "").slice(0, 12)
  yield* query(`insert into sluice_meta (key, value) values ('instance', ?)`, [instance])
  return instance
})
