/**
 * How the messages of a world are read by whoever answers them: their ids, in which
 * conversation they were written, and how long they want to be worked on.
 */

/** The id that a message's text begins with. @param {string} text */
export const idOf = (text) => /#([\w.-]+)/.exec(text)?.[1]

/** The messages in what an agent was told: a line each; what is in brackets the gateway says. @param {ReadonlyArray<string>} blocks */
export const messagesIn = (blocks) =>
  blocks
    .filter((block) => !block.startsWith("["))
    .flatMap((block) => block.split("\n"))
    .filter((line) => idOf(line) !== undefined)

/** In which conversation a message was written: its id says by whom and where. @param {string} id */
export const conversationOf = (id) => {
  const [, chat, thread] = /^telegram-(-?\d+)(?:_(\d+))?\.\d+$/.exec(id) ?? []
  if (chat !== undefined) return `telegram/${chat}${thread === undefined ? "" : `/${thread}`}`
  const [, channel, peer] = /^(keyed|edit|resend|hold)-(.+)\.\d+$/.exec(id) ?? []
  return channel === undefined ? `http/${id.replace(/\.\d+$/, "")}` : `${channel}/${peer}`
}

/** The number of a word, as in `work300`. @param {ReadonlyArray<string>} texts @param {string} word */
export const numberIn = (texts, word) => {
  const [, number] = new RegExp(` ${word}(\\d+)`).exec(texts.join("\n")) ?? []
  return number === undefined ? undefined : Number(number)
}

/** How long they take. Longer than messages are apart: what comes meanwhile waits behind this turn. @param {ReadonlyArray<string>} texts */
export const millisOf = (texts) => numberIn(texts, "work") ?? (texts.some((text) => text.includes(" slow")) ? 600 : 90)
