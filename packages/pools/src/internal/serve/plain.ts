/**
 * Requests as nearly all of them are: chats of text, and texts. A look is enough to tell that they are in order; their
 * schemas would copy them piece by piece. Whatever is not plain, right or wrong, is decoded, and hears of it in the
 * schema's words.
 */
import type { TextRequest } from "../../Capabilities.ts"

const isText = (value: unknown): value is string => typeof value === "string"

const isMessage = (value: unknown): value is TextRequest["messages"][number] =>
  typeof value === "object" &&
  value !== null &&
  !Array.isArray(value) &&
  "role" in value &&
  isText(value.role) &&
  "content" in value &&
  isText(value.content)

/** Messages with a role and a text each; what else they hold is passed on as it came. */
export const isMessages = (value: unknown): value is TextRequest["messages"] =>
  Array.isArray(value) && value.length > 0 && value.every(isMessage)

const isFlat = (value: unknown): value is string | number | boolean =>
  isText(value) || typeof value === "boolean" || Number.isFinite(value)

/** Settings without anything in them that would have to be looked through. */
export const areSettings = (
  settings: Readonly<Record<string, unknown>>
): settings is Readonly<Record<string, string | number | boolean>> => Object.values(settings).every(isFlat)

/** Texts, at least one. */
export const isTexts = (items: ReadonlyArray<unknown>): items is ReadonlyArray<string> =>
  items.length > 0 && items.every(isText)
