/**
 * The codes that let people in, in the state directory: one valid code at a time,
 * for whoever can read files there, and the ids of those who have used one. An id is
 * on disk before its code is gone, so a crash in between costs nothing but a code
 * that works once more for the same person.
 */
import type { Pairing } from "@sluice/channels/Telegram"
import * as Effect from "effect/Effect"
import { randomBytes, timingSafeEqual } from "node:crypto"
import { readFileSync } from "node:fs"
import { codeOf, fileIn, readJson, writeWhole } from "../StateFolder.ts"

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

const idsIn = (path: string): ReadonlyArray<number> => {
  const found = readJson(path)
  return Array.isArray(found) ? found.filter((id): id is number => Number.isSafeInteger(id)) : []
}

const isSame = (one: string, other: string): boolean =>
  one.length === other.length && timingSafeEqual(Buffer.from(one), Buffer.from(other))

/** The pairing of the Telegram channel, with a code to be given out. */
export const make = (stateDirectory: string): Pairing => {
  const code = fileIn(stateDirectory, "telegramCode")
  const paired = fileIn(stateDirectory, "telegramPaired")
  const renew = () => writeWhole(code, `${makeCode()}\n`)
  return {
    paired: Effect.sync(() => {
      if (read(code) === "") renew()
      return idsIn(paired)
    }),
    redeem: (given, id) =>
      Effect.suspend(() => {
        if (!isSame(given, read(code))) return Effect.succeed(false)
        writeWhole(paired, `${JSON.stringify([...new Set([...idsIn(paired), id])])}\n`)
        renew()
        return Effect.as(Effect.logInfo("Somebody was let in by a code").pipe(Effect.annotateLogs({ id })), true)
      })
  }
}
