/**
 * The tokens that clients send: from SLUICE_TOKEN, else from a file, else from
 * the state directory, where one is made at the first start. Two are valid while
 * one is being exchanged, in any order; the tools try both. They live in memory
 * as redacted values and never in an argument, a log or a child's environment.
 */
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import { randomBytes } from "node:crypto"
import { chmodSync, linkSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs"
import { ConfigurationError, shown } from "./configuration/Problem.ts"
import { codeOf, fileIn, reasonOf } from "./StateFolder.ts"

/** The valid tokens, in the order in which they stand; more than one while one is exchanged. */
export type Tokens = readonly [Redacted.Redacted, ...ReadonlyArray<Redacted.Redacted>]

/** Where tokens come from. */
export interface Source {
  readonly environment: { readonly [name: string]: string | undefined }
  /** A file that the configuration names. */
  readonly tokenFile: string | undefined
  /** Where that was written. */
  readonly origin: string
  readonly stateDirectory: string
}

const least = 16
const most = 512

const problem = (field: string, value: string, origin: string, remedy: string) =>
  new ConfigurationError({ problems: [{ field, value, origin, remedy }] })

const parse = (text: string, field: string, origin: string): Effect.Effect<Tokens, ConfigurationError> => {
  const [first, second, ...more] = text.split(/\s+/).filter((token) => token !== "")
  const all = [first, second].filter((token) => token !== undefined)
  if (first === undefined) return problem(field, "", origin, "holds no token; write one of at least 16 characters")
  if (more.length > 0)
    return problem(field, "", origin, "holds more than two tokens; keep the new one and the one before")
  if (all.some((token) => token.length < least || token.length > most || !/^[!-~]+$/.test(token))) {
    // The value itself is a secret, also a bad one.
    const remedy = `a token has ${least} to ${most} characters without spaces and accents; make one with: openssl rand -hex 32`
    return problem(field, "", origin, remedy)
  }
  return Effect.succeed([Redacted.make(first), ...all.slice(1).map((token) => Redacted.make(token))])
}

const isOpen = (mode: number): boolean => process.platform !== "win32" && (mode & 0o077) !== 0

/** Reads a file that holds a secret: refused when others can read it. */
export const readSecret = (path: string, field: string, origin: string): Effect.Effect<string, ConfigurationError> =>
  Effect.suspend(() => {
    try {
      const found = statSync(path)
      if (isOpen(found.mode)) {
        const mode = (found.mode & 0o777).toString(8)
        return problem(field, shown(path), origin, `others can read it (mode ${mode}); run: chmod 600 ${shown(path)}`)
      }
      if (found.size > 65_536)
        return problem(field, shown(path), origin, "is larger than 64 KiB; name the file of the secret")
      return Effect.succeed(readFileSync(path, "utf8"))
    } catch (cause) {
      return problem(
        field,
        shown(path),
        origin,
        `can't be read: ${reasonOf(cause)}; correct the path or its permissions`
      )
    }
  })

/** Makes the token of a new state directory. Two gateways that start at once end up with the same one. */
const create = (path: string): Effect.Effect<void, ConfigurationError> =>
  Effect.try({
    try: () => {
      const temporary = `${path}.${process.pid}`
      writeFileSync(temporary, `${randomBytes(32).toString("hex")}\n`, { mode: 0o600 })
      chmodSync(temporary, 0o600)
      try {
        // A link never replaces what is there, and the file appears whole.
        linkSync(temporary, path)
      } catch (cause) {
        if (codeOf(cause) !== "EEXIST") throw cause
      } finally {
        rmSync(temporary, { force: true })
      }
    },
    catch: (cause) =>
      problem(
        "token file",
        shown(path),
        "",
        `can't be made: ${reasonOf(cause)}; correct the permissions of the state directory`
      )
  })

/** The tokens that are valid now. With `create` a missing one is made in the state directory. */
export const read = Effect.fnUntraced(function* (
  source: Source,
  options: { readonly create: boolean }
): Effect.fn.Return<Tokens, ConfigurationError> {
  const variable = source.environment["SLUICE_TOKEN"]
  if (variable !== undefined && variable !== "") return yield* parse(variable, "SLUICE_TOKEN", "")
  if (source.tokenFile !== undefined) {
    const text = yield* readSecret(source.tokenFile, "http.tokenFile", source.origin)
    return yield* parse(text, "http.tokenFile", source.tokenFile)
  }
  const path = fileIn(source.stateDirectory, "token")
  if (options.create && statSync(path, { throwIfNoEntry: false }) === undefined) yield* create(path)
  return yield* parse(yield* readSecret(path, "token file", ""), "token file", path)
})
