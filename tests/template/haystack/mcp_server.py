"""A server of MCP over standard input and output, with one tool."""

from mcp.server import MCPServer

server = MCPServer("weather", log_level="ERROR")


def weather(city: str) -> str:
    """Return the weather in a city."""
    return f"Rain in {city}."


server.add_tool(weather)

if __name__ == "__main__":
    server.run()
