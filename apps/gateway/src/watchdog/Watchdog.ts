/**
 * Ends the process when it can't end itself: at a stop's deadline and a second more, or when the main loop has been
 * blocked for longer than a stop may take, because then no signal is heard either. It is a thread of its own; here is
 * the main loop's side, which beats, and writes down what a last line should say.
 */
import type { StopNews } from "@sluice/runtime/Shutdown"
import { Worker } from "node:worker_threads"
import { Board, phases } from "./board.ts"
import { tick } from "./verdict.ts"

import type { Charge } from "./watchdogWorker.ts"

export { patienceOf } from "./verdict.ts"

/** The watchdog of this process. */
export interface Watchdog {
  /** Hears of a stop: its deadline, and where it is. */
  readonly watch: (news: StopNews) => void
  /** The boot's number, for the note. */
  readonly knows: (epoch: number) => void
  /** Ends the guard: for tests, and before the process becomes another one. */
  readonly release: () => void
}

/**
 * Starts the watchdog; it guards from here on until the process is gone. `patience` is the longest time without
 * a beat (see `patienceOf`), `file` the note's path; `failed` hears when there is no watchdog, which changes nothing else.
 */
export const start = (options: {
  readonly patience: number
  readonly file: string
  readonly failed: (error: Error) => void
}): Watchdog => {
  const board = new Board()
  const charge: Charge = { memory: board.memory, patience: options.patience, file: options.file }
  const extension = import.meta.url.endsWith(".ts") ? "ts" : "cjs"
  const worker = new Worker(new URL(`./watchdogWorker.${extension}`, import.meta.url), {
    workerData: charge,
    name: "watchdog",
    execArgv: [],
    env: {},
    // It keeps next to nothing in memory; this only bounds what it may take while it is loaded.
    resourceLimits: { maxOldGenerationSizeMb: 64, maxYoungGenerationSizeMb: 4 }
  })
  worker.on("error", options.failed)
  worker.unref()
  // Two beats a tick: one alone would be missed whenever both timers drift apart.
  const beating = setInterval(() => board.beat(), tick / 2)
  beating.unref()
  return {
    watch: (news) => {
      if (news._tag === "Began" || news._tag === "Hurried") board.deadline = news.deadline
      if (news._tag === "Reported") board.phase = phases.length - 1
      if (news._tag === "Phase") {
        board.phase = phases.indexOf(news.name)
        board.open = news.open
      }
      board.ring()
    },
    knows: (epoch) => {
      board.epoch = epoch
    },
    release: () => {
      clearInterval(beating)
      board.released = true
      board.ring()
    }
  }
}
