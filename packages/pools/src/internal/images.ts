/**
 * Whether something is an image, by its first bytes: what a sender calls it proves nothing, and a model that gets a web
 * page instead of a picture answers something all the same.
 */

const kinds: ReadonlyArray<readonly [type: string, begins: RegExp]> = [
  ["image/png", /^\u0089PNG\r\n.\n/],
  ["image/jpeg", /^\u00ff\u00d8\u00ff/],
  ["image/gif", /^GIF8[79]a/],
  ["image/webp", /^RIFF[^]{4}WEBP/]
]

const dataAddress = /^data:(image\/[a-z0-9.+-]+);base64,([A-Za-z0-9+/]+={0,2})$/

/** What is wrong with a picture's address, with its remedy; `undefined` when nothing is. */
export const imageProblem = (address: string): string | undefined => {
  if (/^https?:\/\//.test(address) && URL.canParse(address)) return undefined
  const remedy = "give data:image/png;base64,... (PNG, JPEG, GIF or WebP) or an https: address"
  const [, type, base64] = dataAddress.exec(address) ?? []
  if (type === undefined || base64 === undefined)
    return `"${address.slice(0, 40)}" is no address of an image; ${remedy}`
  // Twenty-four characters of base64 are eighteen bytes; that much tells the kinds apart.
  const head = atob(base64.slice(0, 24).padEnd(24, "A"))
  const found = kinds.find(([, begins]) => begins.test(head))?.[0]
  if (found === undefined) return `what is given as ${type} is no image; ${remedy}`
  return undefined
}
