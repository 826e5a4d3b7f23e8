// A program under a watchdog that does one of the things a watchdog is for. Says `ready`, then does it at a line on stdin.
import { openSync, writeSync } from "node:fs"
import process from "node:process"
import { start } from "../../src/watchdog/Watchdog.ts"

const [what = "", file = "", patience = "1500"] = process.argv.slice(2)
const now = () => Number(process.hrtime.bigint()) / 1e6

const watchdog = start({
  patience: Number(patience),
  file,
  failed: (error) => {
    console.error(error)
    process.exit(1)
  }
})
watchdog.knows(7)

const soFar = (): never => {
  throw new Error("nobody asks here")
}
const stop = (within: number) => {
  watchdog.watch({ _tag: "Began", reason: "stop", deadline: now() + within, source: "drain.timeout", soFar })
  watchdog.watch({ _tag: "Phase", name: "drain", open: 2 })
}
const block = () => {
  for (;;);
}

const deeds: { readonly [name: string]: () => void } = {
  /** The loop is blocked while it stops. */
  "block in a stop": () => {
    stop(300)
    setTimeout(block, 10)
  },
  /** The loop turns, but the stop never ends. */
  "hang in a stop": () => {
    stop(300)
    setInterval(() => undefined, 10)
  },
  block,
  /** Blocked in the kernel, with a stderr that takes nothing any more: nobody reads either. */
  "full pipes": () => {
    writeSync(2, "x".repeat(10_000_000))
    writeSync(openSync(`${file}.pipe`, "r+"), "x".repeat(10_000_000))
  },
  /** Says that it lives, and goes on. */
  live: () => console.log("alive"),
  "stop and live": () => {
    stop(300)
    console.log("stopping")
    // A stop that was paused ends late, by itself.
    setTimeout(() => process.exit(0), 600)
  },
  end: () => process.stdin.destroy()
}

process.stdin.on("data", () => deeds[what]?.())
console.log("ready")
