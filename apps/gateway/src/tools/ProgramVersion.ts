/**
 * What version a program says it is, for `sluice doctor`. It is asked within a
 * bound and with the environment that agents get their basics from; what it says
 * instead of a version is a finding too.
 */
import * as Effect from "effect/Effect"
import { execFile } from "node:child_process"

/** The first line that the program prints for `--version`; undefined when it prints none in time, or fails. */
export const version = (
  program: string,
  options: { readonly args: ReadonlyArray<string>; readonly cwd: string }
): Effect.Effect<string | undefined> =>
  Effect.callback((resume) => {
    const { HOME = "", PATH = "" } = process.env
    const child = execFile(
      program,
      [...options.args, "--version"],
      { cwd: options.cwd, env: { HOME, PATH }, timeout: 10_000, killSignal: "SIGKILL", maxBuffer: 64 * 1024 },
      (error, stdout) => {
        const line = stdout.trim().split("\n", 1)[0] ?? ""
        resume(Effect.succeed(error === null && line !== "" ? line : undefined))
      }
    )
    // It is asked a question, not talked to.
    child.stdin?.end()
    return Effect.sync(() => void child.kill("SIGKILL"))
  })
