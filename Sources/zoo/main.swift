import ZooCLI

CommandLineTool.main()
