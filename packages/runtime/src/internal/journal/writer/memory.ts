/**
 * What the writer keeps of the store. Copies only: each part is bounded or as
 * small as what is open, and a round that does not commit takes back what it
 * changed here.
 */
import { Conversations, slackOf } from "./conversations.ts"
import { OpenTurns } from "./openTurns.ts"
import type { SessionRecord, TurnRecord } from "../store/rows.ts"
import { SpentDays } from "../writes/usage.ts"
import { WaitingRows } from "./waitingRows.ts"

/** Sessions, the most recently claimed ones. */
export class Sessions {
  readonly #byId = new Map<number, SessionRecord>()
  readonly #limit: number

  constructor(limit: number) {
    this.#limit = limit
  }

  get(id: number): SessionRecord | undefined {
    return this.#byId.get(id)
  }

  keep(session: SessionRecord): void {
    this.#byId.delete(session.id)
    this.#byId.set(session.id, session)
    if (this.#byId.size <= this.#limit + slackOf(this.#limit)) return
    for (const oldest of this.#byId.keys()) {
      if (this.#byId.size <= this.#limit) return
      this.#byId.delete(oldest)
    }
  }

  /** What was known of a session is not true any more. */
  forget(id: number): void {
    this.#byId.delete(id)
  }

  clear(): void {
    this.#byId.clear()
  }
}

/** See the header. */
export interface Memory {
  readonly conversations: Conversations
  readonly sessions: Sessions
  readonly turns: OpenTurns
  readonly rows: WaitingRows
  /** Sessions with messages dropped by `summarize` that no turn has told of. A superset is harmless. */
  readonly untold: Set<number>
  readonly spent: SpentDays
}

/** The memory of a writer that begins. */
export const makeMemory = (options: {
  readonly conversations: number
  readonly turns: ReadonlyArray<TurnRecord>
  readonly untold: ReadonlyArray<number>
  readonly spent: ReadonlyArray<readonly [day: string, cost: number]>
}): Memory => ({
  conversations: new Conversations(options.conversations),
  sessions: new Sessions(options.conversations),
  turns: new OpenTurns(options.turns),
  rows: new WaitingRows(),
  untold: new Set(options.untold),
  spent: new SpentDays(options.spent)
})

/** Messages of a conversation stopped waiting. */
export const stopWaiting = (
  memory: Memory,
  conversation: number,
  seqs: Iterable<number>,
  undo: Array<() => void>
): void => {
  const set = new Set(seqs)
  memory.conversations.settled(conversation, set, undo)
  for (const seq of set) memory.rows.drop(seq, undo)
}

/** Nothing that fell in the sessions is still to be told. */
export const nothingUntold = (memory: Memory, sessions: Iterable<number>, undo: Array<() => void>): void => {
  for (const session of sessions) if (memory.untold.delete(session)) undo.push(() => void memory.untold.add(session))
}
