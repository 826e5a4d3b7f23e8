/**
 * How many tokens a text is, guessed without the model's own vocabulary and put
 * right by what the server reports: a wrong guess costs a little history, or a
 * call that is refused as too long and asked again with less.
 */

/** What an image costs in most models, give or take. */
export const imageTokens = 1500

/** What the frame around a message costs. */
export const messageTokens = 4

/** A guess at the tokens of a text: four plain letters each, two of other alphabets, a whole one for a character of Chinese. */
export const estimate = (text: string): number => {
  let quarters = 0
  for (let at = 0; at < text.length; at++) {
    const unit = text.charCodeAt(at)
    quarters += unit < 0x80 ? 1 : unit < 0x2e80 ? 2 : 4
  }
  return Math.ceil(quarters / 4)
}

/** The beginning of a text that is about this many tokens, without half a character at its end. */
export const firstTokens = (text: string, tokens: number): string => {
  let quarters = tokens * 4
  let at = 0
  for (; at < text.length && quarters > 0; at++) {
    const unit = text.charCodeAt(at)
    quarters -= unit < 0x80 ? 1 : unit < 0x2e80 ? 2 : 4
  }
  const last = text.charCodeAt(at - 1)
  return text.slice(0, last >= 0xd800 && last <= 0xdbff ? at - 1 : at)
}

/** A server that says less than this for each guessed token leaves out what it had in a cache; one that says more is wrong. */
const [least, most] = [0.6, 4]

/** The factor between a guess and what the server counted. */
export const ratioOf = (counted: number, guessed: number): number =>
  guessed <= 0 || counted <= 0 ? 1 : Math.min(most, Math.max(least, counted / guessed))
