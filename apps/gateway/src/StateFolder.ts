/**
 * The state directory: made and checked before anything opens a file in it. A
 * folder that others can write to, or that can't be written at all, is refused
 * with the remedy, because a store that starts and then can't commit is worse
 * than one that never started.
 */
import * as Effect from "effect/Effect"
import {
  accessSync,
  chmodSync,
  constants,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync
} from "node:fs"
import { dirname, join } from "node:path"
import { ConfigurationError, shown } from "./configuration/Problem.ts"

/** Names of what the gateway keeps in its state directory. */
export const files = {
  store: "journal.db",
  attachments: "attachments",
  token: "token",
  address: "address.json",
  lastShutdown: "last-shutdown.json",
  poolPrograms: "pool-programs",
  telegramCode: "telegram-code",
  telegramPaired: "telegram-paired.json",
  telegramUsed: "telegram-used.json",
  slackCode: "slack-code",
  slackPaired: "slack-paired.json",
  slackUsed: "slack-used.json"
} as const

/** A file in the state directory. */
export const fileIn = (folder: string, name: keyof typeof files): string => join(folder, files[name])

/** Errors of the file system by their code, in words. */
export const codeOf = (cause: unknown): string =>
  cause instanceof Error && "code" in cause && typeof cause.code === "string" ? cause.code : ""

const words: { readonly [code: string]: string } = {
  EACCES: "permission denied",
  EPERM: "not permitted",
  EROFS: "the file system is read-only",
  ENOSPC: "the disk is full",
  EDQUOT: "the quota is used up",
  ENOTDIR: "a part of the path is a file",
  EEXIST: "it is a file",
  ENOENT: "it does not exist",
  ELOOP: "too many symbolic links",
  ENAMETOOLONG: "the path is too long"
}

/** What went wrong, for a person. */
export const reasonOf = (cause: unknown): string =>
  words[codeOf(cause)] ?? (cause instanceof Error ? cause.message : String(cause))

const problem = (folder: string, origin: string, remedy: string) =>
  new ConfigurationError({ problems: [{ field: "state directory", value: shown(folder), origin, remedy }] })

const remedyOf = (cause: unknown): string =>
  ["ENOSPC", "EDQUOT"].includes(codeOf(cause)) ? "make room" : "correct its permissions"

const elsewhere = "use another one with SLUICE_STATE_DIR"

/** Not mkdir's own recursion, which turns for ever in a place that answers ENOENT for what exists (below /proc). */
const makeAll = (folder: string): void => {
  if (!exists(dirname(folder))) makeAll(dirname(folder))
  mkdirSync(folder, { mode: 0o700 })
}

/** Makes the folder when it is missing, and holds it to mode 0700. Returns a warning when that is not possible and not dangerous. */
export const prepare = (folder: string, origin: string): Effect.Effect<string | void, ConfigurationError> =>
  Effect.try({
    try: () => {
      const before = statSync(folder, { throwIfNoEntry: false })
      if (before === undefined) makeAll(folder)
      else if (!before.isDirectory()) throw Object.assign(new Error(), { code: "EEXIST" })
      accessSync(folder, constants.R_OK | constants.W_OK | constants.X_OK)
      // access() tells root everything is fine, on a read-only file system too.
      const probe = join(folder, `.probe-${process.pid}`)
      writeFileSync(probe, "", { mode: 0o600 })
      rmSync(probe)
      return tighten(folder)
    },
    catch: (cause) =>
      cause instanceof ConfigurationError
        ? cause
        : problem(folder, origin, `can't be used: ${reasonOf(cause)}; ${remedyOf(cause)}, or ${elsewhere}`)
  }).pipe(
    Effect.flatMap((mode) => {
      if (mode === undefined) return Effect.void
      if ((mode & 0o002) !== 0) {
        return problem(folder, origin, `everybody on this machine can write to it; run: chmod 700 ${shown(folder)}`)
      }
      return Effect.succeed(
        `state directory ${shown(folder)} has mode ${mode.toString(8)} and belongs to somebody else; others than its owner can reach it`
      )
    })
  )

/** The mode that stays although it should be 0700; undefined when all is well. */
const tighten = (folder: string): number | undefined => {
  const mode = statSync(folder).mode & 0o777
  if ((mode & 0o077) === 0 || process.platform === "win32") return undefined
  try {
    chmodSync(folder, 0o700)
  } catch {
    // Not ours: a mounted volume, for example. What its mode means is decided by the caller.
    return mode
  }
  const after = statSync(folder).mode & 0o777
  return (after & 0o077) === 0 ? undefined : after
}

/** Writes a file whole or not at all, mode 0600. */
export const writeWhole = (path: string, content: string): void => {
  const temporary = `${path}.${process.pid}`
  try {
    writeFileSync(temporary, content, { mode: 0o600 })
    renameSync(temporary, path)
  } catch (cause) {
    rmSync(temporary, { force: true })
    throw cause
  }
}

/** Parses a JSON file; undefined when it is missing or not JSON. */
export const readJson = (path: string): unknown => {
  try {
    return JSON.parse(readFileSync(path, "utf8"))
  } catch {
    // Written whole, so this is a foreign file or none: the caller has another source.
    return undefined
  }
}

/** Whether the folder of a path exists, for tools that must not make one. */
export const exists = (path: string): boolean => statSync(path, { throwIfNoEntry: false }) !== undefined

/** A path, or the nearest folder above it that exists. */
export const existing = (path: string): string =>
  exists(path) || dirname(path) === path ? path : existing(dirname(path))
