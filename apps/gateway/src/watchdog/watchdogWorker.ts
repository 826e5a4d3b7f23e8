/**
 * The watchdog: a thread that ends its process when the main loop can't. It opens no database and no file but the note,
 * because closing the store's files from here would drop the lock of whoever still writes. What it has to say it says
 * beside a timer: a full disk or a stderr that nobody reads must not save the process.
 */
import { constants, promises, write } from "node:fs"
import process from "node:process"
import { workerData } from "node:worker_threads"
import { Board, phases } from "./board.ts"
import { type Sight, type Verdict, Watch } from "./verdict.ts"

/** What the watchdog is started with. */
export interface Charge {
  readonly memory: SharedArrayBuffer
  /** The longest time without a beat that is let pass, milliseconds. */
  readonly patience: number
  /** Where the note goes; written whole or not at all. */
  readonly file: string
}

/** How long the note and the line may take, in milliseconds. */
const lastWords = 400

const now = (): number => Number(process.hrtime.bigint()) / 1e6

const seconds = (millis: number): string => `${(millis / 1000).toFixed(1)} s`

const words = (board: Board, { blocked, why }: Verdict): string => {
  const loop = blocked >= 1000 ? `the main loop has not turned for ${seconds(blocked)}` : "the main loop turns"
  const turns = `${board.open} ${board.open === 1 ? "turn" : "turns"} open`
  return why === "overdue"
    ? `the stop did not end by its deadline and 1 s more (phase: ${phases[board.phase] ?? "?"}, ${turns}); ${loop}`
    : `${loop}; a stop could not be heard`
}

const note = async (file: string, board: Board, verdict: Verdict, line: string): Promise<void> => {
  const text = `${JSON.stringify({
    watchdog: verdict.why,
    line,
    at: new Date().toISOString(),
    pid: process.pid,
    epoch: board.epoch,
    phase: phases[board.phase] ?? "?",
    openTurns: board.open,
    blocked: Math.round(verdict.blocked)
  })}\n`
  const temporary = `${file}.watchdog`
  const handle = await promises.open(temporary, constants.O_CREAT | constants.O_TRUNC | constants.O_WRONLY, 0o600)
  try {
    await handle.writeFile(text)
  } finally {
    await handle.close()
  }
  await promises.rename(temporary, file)
}

const end = (charge: Charge, board: Board, verdict: Verdict): void => {
  const kill = () => process.kill(process.pid, "SIGKILL")
  const line = `sluice: ended by its watchdog: ${words(board, verdict)}`
  setTimeout(kill, lastWords)
  const said = new Promise<void>((resolve) => write(2, `${line}\n`, () => resolve()))
  // Neither may fail the other: the line is for the log, the note for the next start.
  void Promise.allSettled([said, note(charge.file, board, verdict, line)]).then(kill)
}

const guard = (charge: Charge): void => {
  const board = new Board(charge.memory)
  const see = (): Sight => ({ now: now(), beats: board.beats, deadline: board.deadline })
  let sight = see()
  const watch = new Watch(charge.patience, sight)
  while (!board.released) {
    board.wait(sight.beats, watch.next(sight))
    sight = see()
    const verdict = watch.look(sight)
    if (verdict !== undefined && !board.released) return end(charge, board, verdict)
  }
}

guard(workerData as Charge)
