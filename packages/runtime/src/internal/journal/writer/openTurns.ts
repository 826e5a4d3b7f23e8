/**
 * Every open turn of the store, in memory: loaded by the opening, kept by the
 * rounds. It answers "does this session have one?" and "what does this end?"
 * without a read, and because the writer is alone it is never wrong: what a round
 * changes here is taken back when the round does not commit.
 */
import type { Target } from "../writes/replies.ts"
import type { TurnRecord } from "../store/rows.ts"

/** An open turn. What an earlier boot opened is completed when it is needed. */
export interface OpenTurn {
  readonly turn: TurnRecord
  readonly target: Target | undefined
  /** External ids of its messages. */
  readonly externalIds: ReadonlyArray<string> | undefined
}

type Undo = Array<() => void>

/** See the header. */
export class OpenTurns {
  readonly #byTurn = new Map<number, OpenTurn>()
  readonly #bySession = new Map<number, number>()

  constructor(turns: ReadonlyArray<TurnRecord>) {
    for (const turn of turns) {
      this.#byTurn.set(turn.id, { turn, target: undefined, externalIds: undefined })
      this.#bySession.set(turn.session, turn.id)
    }
  }

  get(turn: number): OpenTurn | undefined {
    return this.#byTurn.get(turn)
  }

  ofSession(session: number): OpenTurn | undefined {
    const turn = this.#bySession.get(session)
    return turn === undefined ? undefined : this.#byTurn.get(turn)
  }

  /** Opens a turn, or replaces what is known of it. */
  set(open: OpenTurn, undo: Undo): void {
    const { id, session } = open.turn
    const before = this.#byTurn.get(id)
    const other = this.#bySession.get(session)
    this.#byTurn.set(id, open)
    this.#bySession.set(session, id)
    undo.push(() => {
      if (before === undefined) this.#byTurn.delete(id)
      else this.#byTurn.set(id, before)
      if (other === undefined) this.#bySession.delete(session)
      else this.#bySession.set(session, other)
    })
  }

  /** Replaces facts of an open turn; nothing when it is not open. */
  patch(turn: number, facts: Partial<TurnRecord>, undo: Undo): void {
    const open = this.#byTurn.get(turn)
    if (open !== undefined) this.set({ ...open, turn: { ...open.turn, ...facts } }, undo)
  }

  /** The turn has its end. */
  end(turn: number, undo: Undo): void {
    const open = this.#byTurn.get(turn)
    if (open === undefined) return
    const { session } = open.turn
    this.#byTurn.delete(turn)
    const current = this.#bySession.get(session) === turn
    if (current) this.#bySession.delete(session)
    undo.push(() => {
      this.#byTurn.set(turn, open)
      if (current) this.#bySession.set(session, turn)
    })
  }
}
