/**
 * The last act of the process: it exits with its code, or, when it is to be started again and nobody else does that, it
 * becomes its successor. Then the pid stays, and with it the terminal, npm and the container; the kernel has freed the
 * store's lock by the time the next boot asks for it.
 */
import process from "node:process"
import { codes } from "./Exit.ts"
import type { Recorder } from "./SignalRecorder.ts"
import { isSupervised, surroundings } from "./Supervisor.ts"

/** How long a slow reader of the last lines is waited for, in milliseconds. */
const patience = 500

/** What is written has been taken by whoever reads, or nobody does. */
const written = (stream: NodeJS.WriteStream): Promise<void> =>
  new Promise((resolve) => {
    if (stream.writableLength === 0 || stream.destroyed) return resolve()
    setTimeout(resolve, patience).unref()
    stream.write("", () => resolve())
  })

/** What happens at an exit code: the process ends with one, or becomes the next. */
export const lastAct = (code: number, supervised: boolean, stops: number): number | "again" => {
  if (code !== codes.restart) return code
  // A stop that came before the report would have won there; this one came after it, and wins here.
  if (stops > 0) return codes.clean
  return supervised ? code : "again"
}

/** The same command once more. Returns only when it can't be run, with the reason. */
const again = (): string => {
  if (process.execve === undefined) return "this Node can't replace a process"
  try {
    const command = [process.argv0, ...process.execArgv, ...process.argv.slice(1)]
    process.execve(process.execPath, command, process.env)
    return "it returned"
  } catch (cause) {
    return cause instanceof Error ? cause.message : String(cause)
  }
}

/** Ends the process. The very last call of the program: everything that holds a file is closed. */
export const leave = async (code: number, recorder: Recorder): Promise<never> => {
  await Promise.all([written(process.stdout), written(process.stderr)])
  const act = lastAct(code, isSupervised(surroundings(process.env)), recorder.stops())
  if (act !== "again") process.exit(act)
  const why = again()
  process.stderr.write(`sluice: can't start again by itself: ${why}; start it again\n`)
  process.exit(codes.restart)
}
