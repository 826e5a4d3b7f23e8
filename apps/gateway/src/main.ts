/**
 * Runs the command line over Node's services and ends the process with the exit
 * code of what it did. Composes; everything that decides is elsewhere.
 */
import * as NodeServices from "@effect/platform-node/NodeServices"
import * as Command from "effect/cli/Command"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import process from "node:process"
import * as Cli from "./Cli.ts"
import { codes, exitCodeOf, lastWords } from "./process/Exit.ts"
import { escape } from "./LogEncoder.ts"
import { Loaded } from "./Loaded.ts"
import { leave } from "./process/Restart.ts"
import type { Recorder } from "./process/SignalRecorder.ts"
import { version } from "./version.ts"

const services = (recorder: Recorder, loaded: () => void) =>
  Layer.mergeAll(
    NodeServices.layer,
    Cli.conventions,
    Layer.succeed(Cli.Recorded, recorder),
    Layer.succeed(Loaded, loaded)
  )

/** Never returns: the process ends, or becomes the next one. A gateway that is ready calls `loaded`. */
export const main = (recorder: Recorder, loaded: () => void = () => undefined): void => {
  // A defect outside of every fiber. The journal is right wherever the process dies; going on would not be.
  process.on("uncaughtException", (error) => {
    process.stderr.write(`sluice: ${escape(error.stack ?? String(error))}\n`)
    process.exit(codes.defect)
  })
  const program = Command.runWith(Cli.sluice, { version })(process.argv.slice(2))
  void Effect.runPromiseExit(Effect.provide(program, services(recorder, loaded))).then((exit) => {
    for (const line of lastWords(exit)) process.stderr.write(`${line}\n`)
    return leave(exitCodeOf(exit), recorder)
  })
}
