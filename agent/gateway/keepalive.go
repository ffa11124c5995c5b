package gateway

// keepaliveComments is Route.Keepalive where a stream that waits is begun early.
const keepaliveComments = "comments"
