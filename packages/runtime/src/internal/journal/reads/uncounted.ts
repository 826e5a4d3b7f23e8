/**
 * Turns of whose cost nobody knows: answered, but their agent did not say what they
 * used. The sums of usage leave them out, so a gateway that only runs programs would
 * seem to have done nothing. Counted from the turns themselves when somebody asks,
 * because a row for each in the settlement would make every turn pay for it.
 */
import * as Effect from "effect/Effect"
import type { SqlError } from "effect/sql/SqlError"
import type { Query, Value } from "../store/database.ts"

/** Which of them are asked for. */
export interface UncountedQuestion {
  /** Ended since then, epoch milliseconds; all by default. */
  readonly since?: number
  /** Of one conversation, by its key, or of one session, by its number. */
  readonly conversation?: string
  readonly session?: number
}

/** Turns that were answered and whose agent did not say what they used. */
export interface Uncounted {
  /** By agent, most first. */
  readonly agents: ReadonlyArray<{ readonly name: string; readonly turns: number }>
  /** `false` when there are so many turns that only the newest were looked at: there are at least so many. */
  readonly complete: boolean
}

/** How many turns are looked at where no index leads to those that are asked for. */
export const window = 50_000

const silent = "t.state = 'done' and t.replies is not null and t.usage is null and t.ended_at >= ?"

const columns = "agent, state, replies, usage, ended_at"

/** Counts them. */
export const uncounted = Effect.fnUntraced(function* (
  query: Query,
  question: UncountedQuestion
): Effect.fn.Return<Uncounted, SqlError> {
  const { conversation, session, since = 0 } = question
  const narrow = conversation !== undefined || session !== undefined
  const from = narrow ? "sluice_turns t" : `(select ${columns} from sluice_turns order by id desc limit ${window}) t`
  const where = [silent]
  const values: Array<Value> = [since]
  if (session !== undefined) {
    where.push("t.session = ?")
    values.push(session)
  }
  if (conversation !== undefined) {
    where.push(
      `t.session in (select s.id from sluice_sessions s join sluice_conversations c on c.id = s.conversation where c.key = ?)`
    )
    values.push(conversation)
  }
  const agents = yield* query<{ readonly name: string; readonly turns: number }>(
    `select t.agent as name, count(*) as turns from ${from} where ${where.join(" and ")}
     group by t.agent order by turns desc, name`,
    values
  )
  if (narrow) return { agents, complete: true }
  const [beyond] = yield* query<{ readonly started: number }>(
    `select started_at as started from sluice_turns order by id desc limit 1 offset ${window}`
  )
  return { agents, complete: beyond === undefined || beyond.started < since }
})
