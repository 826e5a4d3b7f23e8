/**
 * One run of a turn by an agent's program: whose it is, what it was asked for, and
 * what was handed to it, taken and told on its way. A batch is as bad as the worst
 * of its messages.
 */
import type { Turn, TurnMessage } from "@sluice/runtime/Message"
import type { Life } from "./Life.ts"
import type { Act } from "./plan.ts"

/** See the header. */
export class Run {
  over = false
  /** It is done but for what it goes on with. */
  goesOn = false
  readonly name: string
  readonly pid: number
  readonly life: Life
  readonly session: number
  readonly turn: Turn
  /** What it was given, and what it took over since. */
  readonly ids: Array<string>
  readonly act: Act
  readonly fails: boolean
  /** Who waits for its end. */
  readonly waiting: Array<() => void> = []
  /** What was handed to it and not taken; what it took over and did not say so yet; what it says now, and who waits for that. */
  readonly untaken = new Set<TurnMessage>()
  readonly taken = new Set<TurnMessage>()
  readonly handed: Array<TurnMessage> = []
  noticed: (() => void) | undefined

  constructor(
    name: string,
    pid: number,
    life: Life,
    session: number,
    turn: Turn,
    ids: Array<string>,
    act: Act,
    fails: boolean
  ) {
    this.ids = ids
    this.name = name
    this.pid = pid
    this.life = life
    this.session = session
    this.turn = turn
    this.act = act
    this.fails = fails
  }
}

/** A message that nobody planned: a command that is none. */
export const plain: Act = {
  work: 200,
  fails: 0,
  early: false,
  hangs: false,
  tool: false,
  talks: false,
  asks: false,
  letsGo: 0,
  parts: 1
}

export const worst = (acts: ReadonlyArray<Act>): Act =>
  acts.reduce(
    (one, other) => ({
      work: Math.max(one.work, other.work),
      fails: Math.max(one.fails, other.fails),
      early: one.early || other.early,
      hangs: one.hangs || other.hangs,
      tool: one.tool || other.tool,
      talks: one.talks || other.talks,
      asks: one.asks || other.asks,
      letsGo: Math.max(one.letsGo, other.letsGo),
      parts: Math.max(one.parts, other.parts)
    }),
    acts[0] ?? plain
  )
