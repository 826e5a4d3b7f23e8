/**
 * The codes that let people in, in the state directory: one valid code at a time,
 * for whoever can read files there, the ids of those who have used one, and the last
 * codes with who used them: one that is delivered again after a crash is no message.
 * An id is on disk before its code is gone, so a crash in between costs nothing but a
 * code that works once more for the same person.
 */
import * as Effect from "effect/Effect"
import { randomBytes, timingSafeEqual } from "node:crypto"
import { readFileSync, renameSync } from "node:fs"
import { shown } from "../configuration/Problem.ts"
import { codeOf, exists, type files, fileIn, readJson, writeWhole } from "../StateFolder.ts"

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
  readonly used: keyof typeof files
}

/** People on Telegram have numbers. */
export const telegram: Kind<number> = {
  isId: (value): value is number => Number.isSafeInteger(value),
  code: "telegramCode",
  paired: "telegramPaired",
  used: "telegramUsed"
}

/** People on Slack have ids like U012AB3CD. */
export const slack: Kind<string> = {
  isId: (value): value is string => typeof value === "string" && /^[UW][A-Z0-9]{2,30}$/.test(value),
  code: "slackCode",
  paired: "slackPaired",
  used: "slackUsed"
}

/** Codes that were used, the last ones: nothing is delivered again that is older than a day. */
const keptCodes = 100

const isSame = (one: string, other: string): boolean =>
  one.length === other.length && timingSafeEqual(Buffer.from(one), Buffer.from(other))

/** The pairing of a channel, with a code to be given out. */
export const make = <Id>(stateDirectory: string, kind: Kind<Id>) => {
  const code = fileIn(stateDirectory, kind.code)
  const paired = fileIn(stateDirectory, kind.paired)
  const used = fileIn(stateDirectory, kind.used)
  const renew = () => writeWhole(code, `${makeCode()}\n`)
  const idsIn = (): ReadonlyArray<Id> => {
    const found = readJson(paired)
    return Array.isArray(found) ? found.filter(kind.isId) : []
  }
  /** Somebody has edited it by hand, and not well: what stands there can't be read any more, and must not be lost. */
  const isBroken = () => exists(paired) && !Array.isArray(readJson(paired))
  const usedCodes = (): ReadonlyArray<readonly [id: Id, code: string]> => {
    const found = readJson(used)
    const isUsed = (one: unknown): one is readonly [Id, string] =>
      Array.isArray(one) && kind.isId(one[0]) && typeof one[1] === "string"
    return Array.isArray(found) ? found.filter(isUsed) : []
  }
  return {
    paired: Effect.suspend(() => {
      if (read(code) === "") renew()
      return isBroken()
        ? Effect.as(
            Effect.logError(`Nobody in it is let in: ${shown(paired)} is no list of ids; correct it and restart`),
            []
          )
        : Effect.succeed(idsIn())
    }),
    redeem: (given: string, id: Id): Effect.Effect<boolean> =>
      Effect.suspend(() => {
        if (!isSame(given, read(code))) return Effect.succeed(false)
        const others = usedCodes().filter(([, code]) => code !== given)
        if (isBroken()) renameSync(paired, `${paired}.broken`)
        writeWhole(used, `${JSON.stringify([...others, [id, given]].slice(-keptCodes))}\n`)
        writeWhole(paired, `${JSON.stringify([...new Set([...idsIn(), id])])}\n`)
        renew()
        return Effect.as(Effect.logInfo("Somebody was let in by a code").pipe(Effect.annotateLogs({ id })), true)
      }),
    redeemed: (given: string, id: Id): Effect.Effect<boolean> =>
      Effect.sync(() => usedCodes().some(([who, code]) => who === id && code === given))
  }
}
