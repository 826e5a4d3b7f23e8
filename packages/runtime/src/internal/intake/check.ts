/**
 * What can be accepted at all. Every refusal names the field, the value and the
 * remedy; nothing is stored of what is refused. The checks are plain code because
 * they stand in the path of every message.
 */
import type { Conversation, Inbound } from "../../Message.ts"
import { Invalid, maxAttachments, maxNameLength, maxTextLength, TooLarge } from "../../Message.ts"

// Control characters, and the marks that reorder text: names are shown in logs and lists.
// oxlint-disable-next-line no-control-regex
const unprintable = /[\u0000-\u001F\u007F-\u009F\u061C\u200E\u200F\u202A-\u202E\u2066-\u2069]/

const shown = (value: string) => JSON.stringify(value.length > 40 ? `${value.slice(0, 40)}…` : value)

const name = (field: string, value: string, optional: boolean): Invalid | TooLarge | undefined => {
  if (value === "")
    return optional ? undefined : new Invalid({ field, value: "is empty", remedy: "give at least one character" })
  if (value.length > maxNameLength) {
    return new TooLarge({ field, size: value.length, limit: maxNameLength, unit: "characters" })
  }
  if (unprintable.test(value) || !value.isWellFormed()) {
    return new Invalid({
      field,
      value: `is ${shown(value)}`,
      remedy: "leave out control, bidirectional and broken characters"
    })
  }
  return undefined
}

const text = (field: string, value: string): Invalid | TooLarge | undefined => {
  if (value.length > maxTextLength) {
    return new TooLarge({ field, size: value.length, limit: maxTextLength, unit: "characters" })
  }
  if (!value.isWellFormed()) {
    return new Invalid({ field, value: "has a lone surrogate", remedy: "send well-formed Unicode" })
  }
  return undefined
}

/** Why a message can never be accepted as it is. */
export const checkInbound = (inbound: Inbound): Invalid | TooLarge | undefined => {
  const attachments = inbound.attachments?.length ?? 0
  if (attachments > maxAttachments) {
    return new TooLarge({ field: "attachments", size: attachments, limit: maxAttachments, unit: "files" })
  }
  if (inbound.text.trim() === "" && attachments === 0 && inbound.withdraws === undefined) {
    return new Invalid({ field: "text", value: "is empty", remedy: "send a text or an attachment" })
  }
  return (
    name("conversation", inbound.conversation, false) ??
    name("account", inbound.account ?? "", true) ??
    name("thread", inbound.thread ?? "", true) ??
    (inbound.id === undefined ? undefined : name("id", inbound.id, false)) ??
    (inbound.replaces === undefined ? undefined : name("replaces", inbound.replaces, false)) ??
    (inbound.withdraws === undefined ? undefined : name("withdraws", inbound.withdraws, false)) ??
    name("sender", inbound.sender, false) ??
    text("text", inbound.text)
  )
}

/** Why a post can never be accepted as it is. */
export const checkPost = (
  address: Conversation,
  post: { readonly id?: string; readonly text: string }
): Invalid | TooLarge | undefined => {
  if (post.text.trim() === "") return new Invalid({ field: "text", value: "is empty", remedy: "send a text" })
  return (
    name("conversation", address.peer, false) ??
    name("account", address.account, true) ??
    name("thread", address.thread, true) ??
    (post.id === undefined ? undefined : name("id", post.id, false)) ??
    text("text", post.text)
  )
}
