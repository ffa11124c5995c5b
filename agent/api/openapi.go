package api

import _ "embed"

// OpenAPI is the description of the control socket's routes in OpenAPI 3.1, as GET /v1/openapi.json serves it. Tests
// hold it to the wire types and to the route table.
//
//go:embed openapi.json
var OpenAPI []byte
