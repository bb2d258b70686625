With 10,000 objects in the API, a write takes less of the control process: objects that have not changed are not compared again, and the collector of garbage leaves alone what the start has made.
