/**
 * An agent asks whether it may. By policy a person is asked, or the answer is
 * given at once; nobody to ask, no answer in time and a turn that is over are
 * all told as `cancelled`, so that an agent never waits for a decision that
 * can't come.
 */
import type { PermissionOption, RequestPermissionResponse } from "@agentclientprotocol/sdk/unstable"

/** Who decides: a person (`ask`), or always the same way. */
export type Policy = "ask" | "allow" | "deny"

/** What is asked. */
export interface Asked {
  readonly question: string
  readonly options: ReadonlyArray<PermissionOption>
}

/** Nobody decided. */
export const cancelled: RequestPermissionResponse = { outcome: { outcome: "cancelled" } }

/** As long as the runtime stores of an option, so that what it hands back is recognised. */
const longest = 200

/** Reads the params of `session/request_permission`; `undefined` when they are none. */
export const askedOf = (params: unknown): Asked | undefined => {
  const { toolCall, options } = (params ?? {}) as {
    readonly toolCall?: { readonly title?: unknown; readonly kind?: unknown; readonly name?: unknown }
    readonly options?: unknown
  }
  if (!Array.isArray(options)) return undefined
  const known = options.filter((option): option is PermissionOption => typeof option?.optionId === "string")
  const title = [toolCall?.title, toolCall?.name, toolCall?.kind].find(
    (text) => typeof text === "string" && text !== ""
  )
  return { question: typeof title === "string" ? title : "Something that it does not name", options: known }
}

/** The options by the words that a person is shown: each one once. */
export const wordsOf = (options: ReadonlyArray<PermissionOption>): ReadonlyMap<string, string> => {
  const words = new Map<string, string>()
  for (const { name, optionId } of options) {
    const plain = (typeof name === "string" && name !== "" ? name : optionId).slice(0, longest)
    let word = plain
    for (let n = 2; words.has(word); n++) word = `${plain.slice(0, longest - 5)} (${n})`
    words.set(word, optionId)
  }
  return words
}

/** The answer with an option. */
export const selected = (optionId: string): RequestPermissionResponse => ({
  outcome: { outcome: "selected", optionId }
})

/** What a policy answers by itself; a permission for once goes before one for ever. */
export const byPolicy = (policy: "allow" | "deny", { options }: Asked): RequestPermissionResponse => {
  const wanted = policy === "allow" ? ["allow_once", "allow_always"] : ["reject_once", "reject_always"]
  const option = wanted
    .map((kind) => options.find((option) => option.kind === kind))
    .find((option) => option !== undefined)
  return option === undefined ? cancelled : selected(option.optionId)
}
