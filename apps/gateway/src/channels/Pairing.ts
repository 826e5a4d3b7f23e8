/**
 * The codes that let people in, in the state directory: one valid code at a time,
 * for whoever can read files there, and the ids of those who have used one. An id is
 * on disk before its code is gone, so a crash in between costs nothing but a code
 * that works once more for the same person.
 */
import * as Effect from "effect/Effect"
import { randomBytes, timingSafeEqual } from "node:crypto"
import { readFileSync } from "node:fs"
import { codeOf, type files, fileIn, readJson, writeWhole } from "../StateFolder.ts"

// Without letters that look like digits.
const letters = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

const makeCode = (): string => Array.from(randomBytes(8), (byte) => letters[byte % 32]).join("")

const read = (path: string): string => {
  try {
    return readFileSync(path, "utf8").trim()
  } catch (cause) {
    if (codeOf(cause) === "ENOENT") return ""
    throw cause
  }
}

/** What a platform's ids look like, and the files of its channel. */
export interface Kind<Id> {
  readonly isId: (value: unknown) => value is Id
  readonly code: keyof typeof files
  readonly paired: keyof typeof files
}

/** People on Telegram have numbers. */
export const telegram: Kind<number> = {
  isId: (value): value is number => Number.isSafeInteger(value),
  code: "telegramCode",
  paired: "telegramPaired"
}

/** People on Slack have ids like U012AB3CD. */
export const slack: Kind<string> = {
  isId: (value): value is string => typeof value === "string" && /^[UW][A-Z0-9]{2,30}$/.test(value),
  code: "slackCode",
  paired: "slackPaired"
}

const isSame = (one: string, other: string): boolean =>
  one.length === other.length && timingSafeEqual(Buffer.from(one), Buffer.from(other))

/** The pairing of a channel, with a code to be given out. */
export const make = <Id>(stateDirectory: string, kind: Kind<Id>) => {
  const code = fileIn(stateDirectory, kind.code)
  const paired = fileIn(stateDirectory, kind.paired)
  const renew = () => writeWhole(code, `${makeCode()}\n`)
  const idsIn = (): ReadonlyArray<Id> => {
    const found = readJson(paired)
    return Array.isArray(found) ? found.filter(kind.isId) : []
  }
  return {
    paired: Effect.sync(() => {
      if (read(code) === "") renew()
      return idsIn()
    }),
    redeem: (given: string, id: Id): Effect.Effect<boolean> =>
      Effect.suspend(() => {
        if (!isSame(given, read(code))) return Effect.succeed(false)
        writeWhole(paired, `${JSON.stringify([...new Set([...idsIn(), id])])}\n`)
        renew()
        return Effect.as(Effect.logInfo("Somebody was let in by a code").pipe(Effect.annotateLogs({ id })), true)
      })
  }
}
