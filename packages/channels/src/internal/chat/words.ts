/**
 * What channels of chats say themselves, and what is read from people's texts wherever
 * they write: whether one is an order to the gateway, and what tells two versions of one apart.
 */

import type { Inbound } from "@sluice/runtime/Message"

/** A slash, a word, perhaps a bot's name: as the gateway reads commands. */
const command = /^\/[a-z][a-z0-9_-]{0,31}(?:@([\w-]{1,64}))?(?:\s|$)/i

/** Whether a text is an order to the gateway. Paths begin with a slash, too. */
export const isCommand = (text: string): boolean => command.test(text)

/** A command by itself: it closes no burst, whatever it came with. */
export const commandOf = ({ closes: _, ...inbound }: Inbound): Inbound => inbound

/** The bot that an order names, where it names one. */
export const orderedOf = (text: string): string | undefined => command.exec(text)?.[1]

/** 53 bits of a text, to tell two versions of a message apart. */
export const hashOf = (text: string): string => {
  let [one, two] = [0xdeadbeef, 0x41c6ce57]
  for (let index = 0; index < text.length; index++) {
    const unit = text.charCodeAt(index)
    one = Math.imul(one ^ unit, 2654435761)
    two = Math.imul(two ^ unit, 1597334677)
  }
  return (2097152 * (two >>> 0) + (one >>> 11)).toString(36)
}

/** What the channel itself says. */
export interface Words {
  /** On the button of a running turn. */
  readonly stop: string
  /** Behind an answer that took long. */
  readonly done: string
  /** To a stranger, where there is pairing. */
  readonly stranger: string
  /** To somebody who had the code. */
  readonly welcome: string
}

/** Unless the host has other words. */
export const english: Words = {
  stop: "Stop",
  done: "Done, see above.",
  stranger: "I only talk to people that I know. If you were given a code, send it to me.",
  welcome: "Welcome! I'll answer you from now on."
}
