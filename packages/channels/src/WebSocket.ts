/**
 * WebSockets of the HTTP channel: the same conversations over one connection that
 * stays, `/v1/ws` on the server that listens already. Messages in (`accepted` = on
 * disk), replies out by number, what happens in turns as it happens. The other
 * side keeps its numbers, so delivery is exactly once for whoever resumes by them.
 * docs/websocket.md is the wire in full; the schemas here are the same in types.
 */
export {
  AcceptedFrame,
  AckFrame,
  ClientFrame,
  ErrorFrame,
  EventFrame,
  LeaveFrame,
  MessageFrame,
  PingFrame,
  PongFrame,
  protocol,
  ReplyFrame,
  ResumedFrame,
  ResumeFrame,
  ServerFrame,
  StoppingFrame
} from "./internal/websocket/frames.ts"
export { type Closing, closings, type SocketLimits } from "./internal/websocket/sockets.ts"
